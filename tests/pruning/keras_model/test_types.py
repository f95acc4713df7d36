"""What mypy knows of Keras: one class without types below `keras.Layer`, and nothing would be checked any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

NAMES = (
    "keras.Layer", "keras.Operation", "keras.Model", "keras.KerasTensor", "keras.Variable", "keras.Optimizer",
    "layers.Dense", "layers.LSTM", "layers.MultiHeadAttention", "BaseConv", "arrays.Einsum", "Functional", "Node",
)  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what mypy says, with the project's settings, of an attribute that no class has."""
    scratch = tmp_path_factory.mktemp("mypy")
    reads = [f"def read_{number}(value: {name}) -> None:\n    value.misspelt\n" for number, name in enumerate(NAMES)]
    program = scratch / "program.py"
    program.write_text(
        "import keras\nfrom keras import layers\nfrom pruning.keras_model.graph import Functional, Node\n"
        "from pruning.keras_model.operations import BaseConv, arrays\n" + "".join(reads)
    )
    command = [sys.executable, "-m", "mypy", "--cache-dir", scratch / "cache", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_attribute_is_an_error(name: str, report: str) -> None:
    assert f'"{name.split(".")[-1]}" has no attribute "misspelt"' in report
