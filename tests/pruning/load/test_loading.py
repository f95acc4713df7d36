"""Loading: real files, and a clear refusal of everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, apply_plan, load_model, make_plan, verify
from pruning.errors import ModelError
from pruning.load import load
from tests.pruning.models import residual, same, values
from tests.shared import shared


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_comes_back(tmp_path: Path, suffix: str) -> None:
    model = residual(compiled=True)
    model.save(tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    assert same(values(model), values(loaded))
    assert loaded.compiled


def test_the_first_bytes_tell_the_format_not_the_name(tmp_path: Path) -> None:
    residual().save(tmp_path / "model.h5")
    shutil.move(tmp_path / "model.h5", tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() == residual().count_params()


def test_a_model_that_keras_2_saved_is_loaded_and_pruned() -> None:
    loaded = load(shared("data/models/mlperf-tiny-resnet8.h5"))
    assert loaded.model.count_params() == 78_666
    assert any(note.startswith("repaired: decay") for note in loaded.notes)
    plan = make_plan(loaded.model, PruningSpec(criterion="kmeans", ratio=0.5))
    assert verify(loaded.model, apply_plan(loaded.model, plan), plan).passed


def test_no_model_file(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"hello, world")
    with pytest.raises(ModelError, match="not a Keras model"):
        load(tmp_path / "model.keras")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Cannot read"):
        load(tmp_path / "nowhere.keras")


def test_truncated_archive(tmp_path: Path) -> None:
    residual().save(tmp_path / "whole.keras")
    whole = (tmp_path / "whole.keras").read_bytes()
    (tmp_path / "model.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot load"):
        load(tmp_path / "model.keras")


def test_weights_without_a_model(tmp_path: Path) -> None:
    residual().save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match="only weights"):
        load(tmp_path / "model.weights.h5")


def test_custom_class_is_named(tmp_path: Path) -> None:
    class Mine(layers.Layer):
        def call(self, inputs):  # type: ignore[no-untyped-def]
            return inputs

    keras.Sequential([keras.Input((2,)), layers.Dense(3), Mine(), layers.Dense(1)]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="Mine"):
        load(tmp_path / "model.keras")


def test_compile_settings_that_cannot_be_restored_are_noted(tmp_path: Path) -> None:
    model = residual()
    model.compile("adam", lambda y_true, y_pred: keras.ops.mean(y_true - y_pred))
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert not loaded.model.compiled
    assert "compile settings could not be restored" in loaded.notes[0]


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    model = residual()
    model.get_layer("expand").bias.assign(np.full(16, np.nan))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="expand"):
        load(tmp_path / "model.keras")
