"""The guides run, and the reference can be written and leaves no public name without a word."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pruning.catalog import BUILT_IN

ROOT = Path(__file__).parents[2]
GUIDES = ["library.md", "criteria.md"]


@pytest.mark.parametrize("guide", GUIDES)
def test_the_examples_of_a_guide_run_one_after_another(guide: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert examples
    (tmp_path / "guide.py").write_text("\n".join(examples), encoding="utf-8")
    done = subprocess.run([sys.executable, "guide.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_to_criteria_names_them_all_with_their_papers() -> None:
    text = (ROOT / "docs" / "criteria.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in BUILT_IN)
    papers = {paper for entry in BUILT_IN.values() for paper in re.findall(r"arXiv:[\d.]+", entry.source)}
    assert all(paper in text for paper in papers)


def test_the_reference_has_a_page_for_every_public_module(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "api_reference.py"), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "pruning.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in page for name in importlib.import_module("pruning").__all__)
    assert (tmp_path / "pruning" / "rules" / "context.html").is_file()


@pytest.mark.parametrize("module", ["pruning", "ridurre"])
def test_every_public_name_says_what_it_is(module: str) -> None:
    package = importlib.import_module(module)
    assert [name for name in package.__all__ if not inspect.getdoc(getattr(package, name))] == []
