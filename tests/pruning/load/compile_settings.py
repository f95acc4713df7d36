"""Compile settings as Keras 2 saved them, one file for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = {"a": (X[:, :1] > 0).astype("float32"), "b": np.eye(3, dtype="float32")[np.arange(32) % 3]}

Arguments = Callable[[Any], dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """What one model is compiled with.

    Attributes:
        name: For the test's id.
        repairs: Names of the repairs that the file needs besides those of the optimizer.
        arguments: What `compile` is given, made of tf-keras.
        outputs: Names of the model's outputs.
        edit: Brings the settings into an older form.
    """

    name: str
    repairs: str
    arguments: Arguments
    outputs: str = "a"
    edit: Callable[[dict[str, Any]], object] = lambda settings: None


def own_loss(target: Any, output: Any) -> Any:
    """A loss that no other process has."""
    return (target - output) ** 2


SETTINGS = (
    Settings("class", "optimizer_class optimizer", lambda kit: {
        "optimizer": kit.optimizers.SGD(0.25, momentum=0.5, clipnorm=2.0), "loss": "mse",
    }),
    Settings("decay", "decay", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25, momentum=0.5, decay=0.125), "loss": "mean_squared_error",
    }),
    Settings("no decay", "decay", lambda kit: {"optimizer": kit.optimizers.legacy.Adam(0.25), "loss": "mae"}),
    Settings("lr", "lr decay", lambda kit: {
        "optimizer": kit.optimizers.legacy.RMSprop(0.25), "loss": "mse",
    }, edit=lambda settings: (config := settings["optimizer_config"]["config"]).update(lr=config.pop("learning_rate"))),
    Settings("schedule", "optimizer_class optimizer schedule_name", lambda kit: {
        "optimizer": kit.optimizers.Adam(kit.optimizers.schedules.PiecewiseConstantDecay([8], [0.25, 0.125])),
        "loss": "mse",
    }),
    Settings("reduction", "decay reduction loss_arguments", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25),
        "loss": kit.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.25),
    }),
    Settings("loss arguments", "decay loss_arguments", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25), "loss": kit.losses.Huber(2.0, reduction="sum"),
    }),
    Settings("metrics", "decay metric_function", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25), "loss": "binary_crossentropy",
        "metrics": ["mse", "accuracy", kit.metrics.AUC(curve="PR", name="area")], "weighted_metrics": ["mae"],
    }),
    Settings("metrics by output", "decay metric_function metric_output", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25), "loss": {"a": "mse", "b": "categorical_crossentropy"},
        "loss_weights": {"a": 1.0, "b": 0.5}, "metrics": {"a": ["mae"], "b": ["mse", "accuracy"]},
    }, outputs="ab"),
    Settings("lists", "decay metric_function metric_output", lambda kit: {
        "optimizer": kit.optimizers.legacy.SGD(0.25), "loss": ["mse", "mae"], "loss_weights": [1.0, 0.5],
        "metrics": [["mse"], ["mae"]],
    }, outputs="ab"),
)  # fmt: skip


def targets(settings: Settings) -> Any:
    """Return what `fit` and `evaluate` take."""
    arrays = [Y[name] for name in settings.outputs]
    return arrays if len(arrays) > 1 else arrays[0]


def saved(kit: Any, settings: Settings, path: Path) -> Any:
    """Save a model of tf-keras after an epoch, and return it."""
    kit.utils.set_random_seed(0)
    inputs = kit.Input((4,))
    hidden = kit.layers.Dense(8, activation="relu")(inputs)
    heads = {"a": (1, "sigmoid"), "b": (3, "softmax")}
    outputs = [kit.layers.Dense(*heads[name], name=name)(hidden) for name in settings.outputs]
    model = kit.Model(inputs, outputs if len(outputs) > 1 else outputs[0])
    model.compile(**settings.arguments(kit))
    model.fit(X, targets(settings), batch_size=16, verbose=0)
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["training_config"])
        settings.edit(config)
        file.attrs["training_config"] = json.dumps(config).encode()
    return model
