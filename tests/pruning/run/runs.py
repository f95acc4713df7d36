"""A small run with everything in it that has a state, and ways to interrupt it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import prune
from pruning.pipeline import PruningResult
from pruning.run.checkpoints import Checkpoints
from tests.pruning.models import blobs

TRAINING: dict[str, Any] = {
    "epochs": 2,
    "fine_tuning_epochs": 2,
    "post_training_epochs": 1,
    "batch_size": 32,
    "optimizer": {"name": "adam", "options": {"use_ema": True, "ema_momentum": 0.9}},
    "augmentation": {"horizontal_flip": True, "crop": 1, "mixup": 0.2},
}


class InterruptionError(Exception):
    pass


def network() -> keras.Model:
    """Return a small classifier with dropout and BatchNormalization, always with the same weights."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(name="first_bn")(x)
    x = layers.Activation("relu", name="first_relu")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    x = layers.Conv2D(8, 3, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x), name="network")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def run(directory: Path | None, spec: dict[str, Any], training: dict[str, Any] | None = None) -> PruningResult:
    """Prune the small network."""
    data = (blobs(96), blobs(32, seed=1))
    return prune(network(), spec, data, training=TRAINING | (training or {}), checkpoint_directory=directory)


@contextmanager
def interrupted_after(monkeypatch: pytest.MonkeyPatch, num_checkpoints: int) -> Iterator[None]:
    """Let the run stop for good right after it has written so many checkpoints."""
    write, count = Checkpoints.write, [0]

    def stopping(self: Checkpoints, *arguments: Any) -> None:
        write(self, *arguments)
        count[0] += 1
        if count[0] == num_checkpoints:
            raise InterruptionError

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", stopping)
        try:
            yield
        except InterruptionError:
            return
    raise AssertionError(f"the run wrote fewer than {num_checkpoints} checkpoints")


def counted(
    monkeypatch: pytest.MonkeyPatch, directory: Path, spec: dict[str, Any], training: dict[str, Any]
) -> tuple[int, PruningResult]:
    """Run once and return how many checkpoints were written, and the result."""
    write, count = Checkpoints.write, [0]

    def counting(self: Checkpoints, *arguments: Any) -> None:
        count[0] += 1
        write(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "write", counting)
        result = run(directory, spec, training)
    return count[0], result


def assert_same(first: PruningResult, second: PruningResult) -> None:
    """Compare all weights, the optimizer's state, history, plan and report of two runs, but for times."""
    for one, other in ((first.model, second.model), *zip(_candidates(first), _candidates(second), strict=True)):
        for mine, theirs in zip(_values(one), _values(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert first.history == second.history
    assert first.plan == second.plan
    assert untimed(first) == untimed(second)


def _candidates(result: PruningResult) -> list[keras.Model]:
    return [result.candidate(each.name)[0] for each in result.report.candidates]


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(each) for each in [*model.variables, *model.optimizer.variables]]


def untimed(result: PruningResult) -> dict[str, Any]:
    """Return the report as JSON without times."""
    report = result.report.model_dump(mode="json")
    for row in report["steps"]:
        row.pop("seconds")
        row.pop("latency")
    return report
