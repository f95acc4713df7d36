"""What the command prints is its own: not the lines of TensorFlow's libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}


@pytest.mark.parametrize("variables", [{}, {"TF_CPP_MIN_LOG_LEVEL": "0"}, {"TF_ENABLE_ONEDNN_OPTS": "1"}])
def test_only_our_own_lines(tmp_path: Path, variables: dict[str, str]) -> None:
    keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(2)]).save(
        tmp_path / "m.keras"
    )
    done = subprocess.run(
        [sys.executable, "-m", "ridurre", "plan", "m.keras", "--ratio", "0.5"],
        cwd=tmp_path, env=PLAIN | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "TensorFlow" not in done.stdout
    assert set(done.stderr.splitlines()) <= {
        "loading",
        "planning",
        "pruning, iteration 1/1",
        "saving, iteration 1/1",
        "succeeded",
    }


def test_what_goes_wrong_at_import_is_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from ridurre.cli.quiet import load_keras; load_keras()"],
        env=PLAIN | {"KERAS_BACKEND": "none such"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "none such" in done.stderr
