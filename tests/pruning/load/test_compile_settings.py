"""Compile settings of HDF5 files: repaired, restored one by one, trained with; and what is lost is told by its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras  # before tf-keras, which is built on it
import numpy as np
import pytest

from pruning import prune
from pruning.errors import SpecError
from pruning.load import load
from pruning.load.repairs import REPAIRS
from pruning.training.learning_rate import rate_of
from tests.pruning.load.compile_settings import SETTINGS, Settings, X, Y, own_loss, saved, targets

tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras, which writes files of Keras 2")
NAMES = {repair.summary: repair.name for repair in REPAIRS}


def figures(model: Any, settings: Settings) -> dict[str, float]:
    measured = model.evaluate(X, targets(settings), batch_size=32, verbose=0, return_dict=True)
    return {name: float(value) for name, value in measured.items()}


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_compile_settings_of_keras_2_are_restored(settings: Settings, tmp_path: Path) -> None:
    original = saved(tf_keras, settings, tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    said = {re.sub(r"^repaired: | \(.*places?\)$", "", note) for note in loaded.notes}
    assert {NAMES.get(note, note) for note in said} == set(settings.repairs.split())
    assert figures(loaded.model, settings) == pytest.approx(figures(original, settings), rel=1e-4)
    assert rate_of(loaded.model.optimizer) == pytest.approx(0.25, rel=1e-6)
    assert int(loaded.model.optimizer.iterations) == 2
    result = prune(
        loaded.model, {"ratio": 0.25}, {"x_train": X, "y_train": {name: Y[name] for name in settings.outputs}},
        training={"fine_tuning_epochs": 1}, is_timed=False,
    )  # fmt: skip
    assert result.history["fine-tuning 1"]["loss"]
    assert not [note for note in result.report.notes if "training.loss is not set" in note]


def test_decay_is_the_schedule_that_it_was(tmp_path: Path) -> None:
    settings = next(each for each in SETTINGS if each.name == "decay")
    saved(tf_keras, settings, tmp_path / "model.h5")
    optimizer = load(tmp_path / "model.h5").model.optimizer
    assert [float(optimizer._learning_rate(step)) for step in (0, 8)] == pytest.approx([0.25, 0.125])
    assert optimizer.momentum == 0.5


OWN = (
    Settings("function", "", lambda kit: {"optimizer": "sgd", "loss": own_loss}),
    Settings("by output", "", lambda kit: {
        "optimizer": "sgd", "loss": {"a": own_loss, "b": "mse"}, "loss_weights": {"a": 1.0, "b": 0.5},
    }, outputs="ab"),
    Settings("class", "", lambda kit: {
        "optimizer": "sgd", "loss": type("own_loss", (kit.losses.Loss,), {"call": lambda _, *both: own_loss(*both)})(),
    }),
)  # fmt: skip


@pytest.mark.parametrize("settings", OWN, ids=lambda settings: settings.name)
def test_a_loss_of_ones_own_is_named_wherever_it_is_missed(settings: Settings, tmp_path: Path) -> None:
    saved(tf_keras, settings, tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    assert [note for note in loaded.notes if "'own_loss' is custom" in note]
    data = {"x_train": X, "y_train": {name: Y[name] + 0.5 for name in settings.outputs}}
    with pytest.raises(SpecError, match="'own_loss' is custom") as caught:
        prune(loaded.model, {"ratio": 0.25}, data)
    assert caught.value.field == "training.loss"
    training = {"loss": "mse", "fine_tuning_epochs": 1}
    assert prune(loaded.model, {"ratio": 0.25}, data, training=training, is_timed=False).history


def test_a_loss_that_is_lost_from_an_archive_is_told_of(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile("sgd", own_loss)
    model.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras").model
    with pytest.raises(SpecError, match=r"could not be restored.*own_loss"):
        prune(loaded, {"ratio": 0.25}, (X, X[:, :1]))
    labels = np.arange(32) % 2
    notes = prune(loaded, {"ratio": 0.25}, (X, labels), training={"fine_tuning_epochs": 0}, is_timed=False).report.notes
    assert [note for note in notes if "own_loss" in note and "binary_crossentropy" in note]


def test_a_metric_of_ones_own_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    settings = Settings("own", "", lambda kit: {"optimizer": "sgd", "loss": "mse", "metrics": [own_loss, "mae"]})
    saved(tf_keras, settings, tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    assert "the file's custom metric 'own_loss' was dropped" in loaded.notes
    assert set(figures(loaded.model, settings)) == {"loss", "mae"}


def test_an_optimizer_of_ones_own_gives_way(tmp_path: Path) -> None:
    def rename(config: dict[str, Any]) -> None:
        config["optimizer_config"]["class_name"] = "Mine"

    settings = Settings("own", "", lambda kit: {"optimizer": "sgd", "loss": "mse"}, edit=rename)
    saved(tf_keras, settings, tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    assert "the file's custom optimizer 'Mine' was replaced by adam" in loaded.notes
    assert isinstance(loaded.model.optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize(
    ("loss", "metrics"), [("mse", ["mae"]), (keras.losses.Huber(2.0), [keras.metrics.AUC(name="area")]), ("mae", None)]
)
def test_compile_settings_of_keras_3_come_along_in_hdf5(loss: Any, metrics: Any, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.125), loss, metrics=metrics)
    model.fit(X, Y["a"], verbose=0)
    expected = figures(model, SETTINGS[0])
    model.save(tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    assert loaded.notes == ()
    assert figures(loaded.model, SETTINGS[0]) == pytest.approx(expected)
