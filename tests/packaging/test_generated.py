"""Files that are written from the specs say what the specs say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from pruning.spec import PruningSpec, TrainingSpec

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_up_to_date(generate: Any) -> None:
    stale = [str(path) for path, text in generate.generated().items() if path.read_text() != text]
    assert not stale, f"run scripts/generate: {', '.join(stale)}"


@pytest.mark.parametrize("spec", [PruningSpec, TrainingSpec])
def test_every_field_is_explained(spec: Any) -> None:
    assert [name for name, field in spec.model_fields.items() if not field.description] == []
