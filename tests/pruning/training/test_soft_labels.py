"""Labels as probabilities: the same loss and metrics as before, and smoothing as Keras does it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.errors import DataError, SpecError
from pruning.spec import TrainingSpec
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling

X = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
Y = np.arange(12) % 3
SPARSE = keras.losses.SparseCategoricalCrossentropy


def classifier(activation: str | None = "softmax", **compiled: Any) -> keras.Model:
    inputs = keras.Input((5,))
    made = keras.Model(inputs, keras.layers.Dense(3, activation=activation, name="out")(inputs))
    if compiled:
        made.compile(**compiled)
    return made


def settings(made: keras.Model, y: np.ndarray = Y, **training: Any) -> tuple[Compiling, Data]:
    data = Data.of(((X, y), (X, y))).fit_to(made)
    compiling = Compiling(made, TrainingSpec.model_validate(training), data)
    return compiling, compiling.fit_targets(data)


LOSSES: dict[str, tuple[str | None, Any]] = {
    "name": ("softmax", "sparse_categorical_crossentropy"),
    "object": ("softmax", SPARSE()),
    "logits": (None, SPARSE(from_logits=True)),
    "by output": ("softmax", {"out": "sparse_categorical_crossentropy"}),
    "list": ("softmax", [SPARSE()]),
    "function": ("softmax", keras.losses.sparse_categorical_crossentropy),
}


@pytest.mark.parametrize(("activation", "loss"), LOSSES.values(), ids=list(LOSSES))
@pytest.mark.parametrize("wish", [{"label_smoothing": 0.1}, {"augmentation": {"mixup": 0.2}}])
def test_validation_knows_nothing_of_it(activation: str | None, loss: Any, wish: dict[str, Any]) -> None:
    metrics = ["accuracy", "sparse_categorical_accuracy", keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top")]
    made = classifier(activation, optimizer="sgd", loss=loss, metrics=metrics)
    expected = made.evaluate(X, Y, verbose=0, return_dict=True)
    compiling, data = settings(made, **wish)
    compiling.compile(made)
    validation = Batches(data.x_val, data.y_val, (0, 0), batch_size=12)
    assert made.evaluate(validation, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)
    compiling.compile_for_delivery(made)
    assert made.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)


def test_training_targets_are_smoothed_as_keras_does_it() -> None:
    made = classifier()
    compiling, data = settings(made, label_smoothing=0.3)
    batches = Batches(data.x_train, data.y_train, (0, 0), batch_size=12, smoothing=compiling.label_smoothing())
    _, smoothed = batches[0]
    probabilities = np.asarray(keras.ops.convert_to_numpy(made(X)))
    own = keras.losses.CategoricalCrossentropy()(smoothed, probabilities)
    keras_own = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)(np.eye(3)[Y], probabilities)
    assert float(own) == pytest.approx(float(keras_own), rel=1e-5)


def test_two_classes_are_smoothed_to_a_half() -> None:
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, activation="sigmoid", name="out")])
    compiling, data = settings(made, (Y == 0).astype("int64"), label_smoothing=0.2, loss="binary_crossentropy")
    batches = Batches(data.x_train, data.y_train, (0, 0), batch_size=12, smoothing=compiling.label_smoothing())
    np.testing.assert_allclose(np.unique(batches[0][1]), [0.1, 0.9], rtol=1e-6)


def test_pixels_have_labels_too() -> None:
    made = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, activation="softmax", name="out")])
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype("float32")
    data = Data.of((x, (x[..., 0] > 0).astype("int64"))).fit_to(made)
    training = TrainingSpec(loss="sparse_categorical_crossentropy", label_smoothing=0.1)
    target = Compiling(made, training, data).fit_targets(data).y_train["out"]
    np.testing.assert_array_equal(target[..., 1], x[..., 0] > 0)
    np.testing.assert_array_equal(target.sum(axis=-1), 1)


def test_labels_are_still_checked() -> None:
    with pytest.raises(DataError, match="whole numbers from 0 to 2"):
        settings(classifier(), Y + 1, label_smoothing=0.1)


def test_an_ignored_class_has_no_probability() -> None:
    with pytest.raises(SpecError, match="do not support ignore_class"):
        settings(classifier(optimizer="sgd", loss=SPARSE(ignore_class=2)), label_smoothing=0.1)


def test_numbers_have_no_labels_to_smooth() -> None:
    with pytest.raises(SpecError, match="needs a classification output") as caught:
        settings(classifier(), np.eye(3, dtype="float32")[Y], label_smoothing=0.1, loss="mse")
    assert caught.value.field == "training.label_smoothing"
