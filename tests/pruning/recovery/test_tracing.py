"""Tracing is dear: each model of a run is traced once to be trained and once to be measured."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import TrainingSpec, prune
from pruning.datasets.data import Data
from pruning.measure import file_size_bytes
from pruning.training.compiling import Compiling
from pruning.training.freezing import frozen
from tests.pruning.models import blobs, residual

ITERATED = {"criterion": "l1_norm", "ratio": 0.25, "num_iterations": 2}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "frozen": ({"freeze": ["stem", "stem_bn"]}, {"optimizer": "adam"}),
    "in place of another": ({}, {"mixed_precision": True, "ema": 0.9}),
    "judged by epoch": ({}, {"fine_tuning_epochs": "auto", "max_train_samples": 64}),
}
tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others trace in other ways")


def two_headed() -> keras.Model:
    """Return a model with outputs by name, each with a metric."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, activation="relu")(inputs)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = {"kind": layers.Dense(4, "softmax", name="kind")(x), "size": layers.Dense(1, name="size")(x)}
    model = keras.Model(inputs, outputs)
    model.compile(
        "sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"}, metrics={"kind": "accuracy", "size": "mae"}
    )
    return model


def traces(monkeypatch: pytest.MonkeyPatch, model: keras.Model, targets: Any, case: str) -> Counter[Any]:
    """Prune, and return how often each model was traced for a step."""
    counted: Counter[Any] = Counter()

    def counting(name: str) -> Any:
        step = getattr(keras.Model, name)

        def traced(self: keras.Model, *args: Any, **kwargs: Any) -> Any:
            counted[name, self] += 1  # Kept, because another model might get its id.
            return step(self, *args, **kwargs)

        return traced

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, counting(name))
    spec, training = CASES[case]
    data = ((blobs(96)[0], targets(96)), (blobs(32)[0], targets(32)))
    prune(model, ITERATED | spec, data, training={"batch_size": 32, "fine_tuning_epochs": 2, **training})
    return counted


@tensorflow_only
@pytest.mark.parametrize("case", CASES)
def test_each_model_is_traced_once_to_train_and_once_to_measure(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = traces(monkeypatch, residual(compiled=True), lambda number: blobs(number)[1], case)
    assert {step for step, _ in counted} == {"train_step", "test_step"}
    assert set(counted.values()) == {1}


@tensorflow_only
def test_models_with_several_outputs_are_traced_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def targets(number: int) -> dict[str, np.ndarray]:
        labels = blobs(number)[1]
        return {"kind": labels, "size": labels.astype("float32")}

    assert set(traces(monkeypatch, two_headed(), targets, "plain").values()) == {1}


def compiling(model: keras.Model, **training: Any) -> Compiling:
    return Compiling(model, TrainingSpec.model_validate(training), Data.of(blobs(8)).fit_to(model))


def test_a_model_is_compiled_again_only_to_train_other_layers() -> None:
    model = residual(compiled=True)
    settings = compiling(model)
    settings.compile(model)
    optimizer = model.optimizer
    settings.compile(model, to_train=True)
    with frozen(model, ["stem_bn"]):
        settings.compile(model)
        assert model.optimizer is optimizer
        settings.compile(model, to_train=True)
    assert model.optimizer is not optimizer


def test_a_model_that_another_one_was_trained_for_goes_on_from_there() -> None:
    model, other = residual(compiled=True), residual(compiled=True)
    settings = compiling(model, optimizer="adam")
    settings.compile(model)
    settings.compile(other)
    model.fit(*blobs(), verbose=0)
    model.evaluate(*blobs(), verbose=0)
    measures = model.test_function
    other.fit(*blobs(), epochs=2, verbose=0)
    settings.hand_over(other, model)
    settings.compile(model, to_train=True)
    for mine, theirs in zip(model.optimizer.variables[2:], other.optimizer.variables[2:], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(model.optimizer.iterations) == 6
    assert model.test_function is measures
    model.fit(*blobs(), verbose=0)
    assert int(model.optimizer.iterations) == 9


def test_a_file_is_as_large_as_the_one_that_is_delivered() -> None:
    model = residual(compiled=True)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy", "top_k_categorical_accuracy"])
    settings = compiling(model, optimizer="adam", metrics=["accuracy"])
    settings.compile(model)
    model.fit(*blobs(), verbose=0)
    optimizer, step = model.optimizer, model.train_function
    with settings.as_delivered(model):
        size = file_size_bytes(model)
    assert model.optimizer is optimizer
    assert model.train_function is step
    settings.compile_for_delivery(model)
    assert size == file_size_bytes(model)
