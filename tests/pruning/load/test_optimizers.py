"""Trained HDF5 files: their optimizers train the model's variables, and go on where they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from pruning import prune
from pruning.keras_model.optimizer_state import slots_of, trained_variables
from pruning.load import load
from tests.pruning.models import same

X = np.random.default_rng(0).normal(size=(48, 8, 8, 1)).astype("float32")
Y = np.arange(48) % 3


def trained(kit: Any, optimizer: Any, frozen: bool = False) -> Any:
    """A model of Keras or tf-keras after an epoch. Two layers have kernels of one shape."""
    layers = kit.layers
    model = kit.Sequential(
        [
            layers.Input((8, 8, 1)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(),
            layers.Conv2D(4, 3), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3, activation="softmax"),
        ]
    )  # fmt: skip
    model.layers[0].trainable = not frozen
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=16, verbose=0)
    return model


def arrays(variables: Any) -> list[np.ndarray]:
    return [np.asarray(variable.numpy()) for variable in variables]


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "plain": lambda: keras.optimizers.SGD(0.01),
    "schedule": lambda: keras.optimizers.RMSprop(keras.optimizers.schedules.CosineDecay(0.01, 100)),
    "scaled loss": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_where_the_file_says(name: str, frozen: bool, tmp_path: Path) -> None:
    model = trained(keras, OPTIMIZERS[name](), frozen)
    model.save(tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5")
    assert loaded.notes == ()
    inner = getattr(loaded.model.optimizer, "inner_optimizer", loaded.model.optimizer)
    assert [id(each) for each in trained_variables(inner)] == [id(each) for each in loaded.model.trainable_variables]
    assert same(arrays(loaded.model.optimizer.variables), arrays(model.optimizer.variables))


def test_a_trained_file_is_fine_tuned(tmp_path: Path) -> None:
    trained(keras, "adam").save(tmp_path / "model.h5")
    for model in (load(tmp_path / "model.h5").model, keras.saving.load_model(tmp_path / "model.h5")):
        result = prune(model, {"ratio": 0.25}, (X, Y), training={"fine_tuning_epochs": 1}, is_timed=False)
        assert result.history["fine-tuning 1"]["loss"]


def test_a_state_of_other_variables_is_left_and_told_of(tmp_path: Path) -> None:
    model = trained(keras, "adam")
    model.save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        group = file["optimizer_weights"]
        names = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = names[:-1]
    loaded = load(tmp_path / "model.h5")
    assert loaded.notes == (
        "the optimizer state was reset, because the state in the file does not match the model's variables",
    )
    loaded.model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("module", "name", "options", "order"),
    [
        ("optimizers", "Adam", {}, ["m", "v"]),
        ("optimizers", "RMSprop", {"momentum": 0.5}, ["velocity", "momentum"]),
        ("optimizers", "Adagrad", {}, ["accumulator"]),
        ("optimizers.legacy", "Adam", {"amsgrad": True}, ["m", "v", "vhat"]),
        ("optimizers.legacy", "SGD", {"momentum": 0.5}, ["momentum"]),
    ],
)
def test_an_optimizer_of_keras_2_goes_on(
    module: str, name: str, options: dict[str, Any], order: list[str], tmp_path: Path
) -> None:
    tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras, which writes files of Keras 2")
    home = tf_keras.optimizers.legacy if module.endswith("legacy") else tf_keras.optimizers
    model = trained(tf_keras, getattr(home, name)(0.01, **options))
    model.save(tmp_path / "model.h5")
    loaded = load(tmp_path / "model.h5").model.optimizer
    assert int(loaded.iterations) == 3
    own = model.optimizer.variables
    kept = {variable.name: variable for variable in (own() if callable(own) else own)}
    expected = [
        next(each for each in kept.values() if _is_slot(each.name, slot, variable.name))
        for slot in order
        for variable in model.trainable_variables
    ]
    assert same(arrays(slots_of(loaded)), arrays(expected))
    prune(
        load(tmp_path / "model.h5").model, {"ratio": 0.25}, (X, Y), training={"fine_tuning_epochs": 1}, is_timed=False
    )


def _is_slot(name: str, slot: str, owner: str) -> bool:
    return name.endswith((f"/{slot}/{owner}", f"/{owner.removesuffix(':0')}/{slot}:0"))
