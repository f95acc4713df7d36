"""Pruning in this process, with the arguments of the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import ridurre
from ridurre.errors import RidurreError

pytestmark = pytest.mark.e2e


@pytest.fixture
def model() -> Any:
    import keras

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, "relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def model_path(model: Any, tmp_path: Path) -> Path:
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "data.npz"
    np.savez(path, x_train=generator.normal(size=(40, 4)).astype("float32"), y_train=generator.integers(0, 3, 40))
    return path


def test_a_model_without_data(model: Any) -> None:
    result = ridurre.prune(model, criterion="l1_norm", ratio=0.5)
    assert model.count_params() == 4 * 8 + 8 + 8 * 3 + 3
    assert result.model.count_params() == 4 * 4 + 4 + 4 * 3 + 3
    assert [step.step for step in result.report.steps] == ["initial", "pruning"]


def test_paths_in_and_out(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    import keras

    phases: list[str] = []
    result = ridurre.prune(
        model_path,
        data_path,
        out=tmp_path / "small.keras",
        training={"fine_tuning_epochs": 1},
        on_progress=lambda progress: phases.append(progress.phase),
        ratio=0.25,
        num_iterations=2,
    )
    assert keras.models.load_model(tmp_path / "small.keras").count_params() == result.report.after.params
    assert "accuracy" in result.report.after.metrics
    assert {"pruning", "fine-tuning", "saving"} <= set(phases)


def test_the_command_without_a_service(model_path: Path, data_path: Path, tmp_path: Path) -> None:
    from ridurre.cli import app

    arguments = ["prune", str(model_path), "--data", str(data_path), "--ratio", "0.5", "--local"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Before pruning and after" in result.output
    assert (tmp_path / "model.pruned.keras").is_file()
    missing = CliRunner().invoke(app, [*arguments[:3], "digits", *arguments[4:]])
    assert missing.exit_code == 2
    assert "an .npz file" in missing.output


def test_what_cannot_be_meant(model: Any, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="less than 1"):
        ridurre.prune(model, ratio=1.5)
    with pytest.raises(RidurreError, match=r"\.npz"):
        ridurre.prune(model, tmp_path / "absent.npz", ratio=0.5)
