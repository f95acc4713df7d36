"""Weights of samples and classes: what Keras makes of them is what was meant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.errors import DataError, SpecError
from pruning.spec import Augmentation, TrainingSpec
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling

X = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
Y = np.array([0] * 8 + [1] * 3 + [2])


def fitted(y: Any = Y, units: int = 3, weight: Any = None, **training: Any) -> tuple[keras.Model, Compiling, Data]:
    activation = "softmax" if units > 1 else "sigmoid"
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(units, activation=activation, name="out")])
    arrays = {"x_train": X, "y_train": y, "sample_weight_train": weight}
    data = Data.of(arrays).fit_to(made)
    compiling = Compiling(made, TrainingSpec.model_validate(training), data)
    return made, compiling, compiling.fit_targets(data)


def test_without_weights_there_are_none() -> None:
    _, compiling, data = fitted()
    assert compiling.sample_weights(data) == {}
    assert len(Batches(data.x_train, data.y_train, (0, 0), batch_size=4)[0]) == 2


@pytest.mark.parametrize("soft", [{}, {"label_smoothing": 0.1}])
def test_balanced_classes_count_the_same(soft: dict[str, Any]) -> None:
    _, compiling, data = fitted(class_weights="balanced", **soft)
    weights = compiling.sample_weights(data)["out"]
    np.testing.assert_allclose([weights[label == Y].sum() for label in range(3)], [4, 4, 4], rtol=1e-6)


def test_weights_by_class_times_weights_of_samples() -> None:
    own = np.linspace(0, 1, 12)
    _, compiling, data = fitted(weight=own, class_weights={1: 3.0})
    np.testing.assert_allclose(compiling.sample_weights(data)["out"], own * np.where(Y == 1, 3, 1), rtol=1e-6)


def test_two_classes_of_one_unit() -> None:
    _, compiling, data = fitted((Y > 0).astype("int64"), 1, loss="binary_crossentropy", class_weights={0: 0.5, 1: 2})
    np.testing.assert_array_equal(compiling.sample_weights(data)["out"], np.where(Y > 0, 2, 0.5))


def test_keras_trains_with_them() -> None:
    # What counts nothing changes nothing: the gradient is that of the other samples.
    own = (np.arange(12) < 4).astype("float32")
    made, compiling, data = fitted(weight=own, loss="sparse_categorical_crossentropy", optimizer="sgd")
    other = keras.models.clone_model(made)
    other.set_weights(made.get_weights())
    batches = Batches(
        data.x_train, data.y_train, (0, 0), batch_size=12, weights=compiling.sample_weights(data)
    )  # fmt: skip
    compiling.compile(made)
    compiling.compile(other)
    made.fit(batches, verbose=0)
    other.optimizer.learning_rate = compiling.learning_rate * 4 / 12
    other.fit(X[:4], Y[:4], batch_size=4, verbose=0)
    for ours, expected in zip(made.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["samples", "classes"])
def test_pixels_count_what_their_sample_or_class_counts(kind: str) -> None:
    # As many samples in a batch as pixels in a row, so that a mix-up of axes would go unnoticed by shapes.
    made = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, activation="softmax", name="out")])
    x = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype("float32")
    y, own = (x[..., 0] > 0).astype("int64"), np.array([0.0, 1.0, 2.0, 5.0])
    data = Data.of({"x_train": x, "y_train": y} | ({"sample_weight_train": own} if kind == "samples" else {}))
    wish = {"class_weights": {1: 3.0}} if kind == "classes" else {}
    training = TrainingSpec.model_validate({"loss": "sparse_categorical_crossentropy", "optimizer": "sgd", **wish})
    data = data.fit_to(made)
    compiling = Compiling(made, training, data)
    compiling.compile(made)
    losses = keras.losses.sparse_categorical_crossentropy(y, made(x))
    counts = own[:, None, None] if kind == "samples" else np.where(y == 1, 3, 1)
    expected = (np.asarray(keras.ops.convert_to_numpy(losses)) * counts).mean()
    weights = compiling.sample_weights(compiling.fit_targets(data))
    batches = Batches(data.x_train, data.y_train, (0, 0), batch_size=4, weights=weights)
    assert made.fit(batches, verbose=0).history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_weights_of_pixels_move_with_them() -> None:
    x = np.random.default_rng(0).normal(size=(8, 6, 4, 1)).astype("float32")
    augmentation = Augmentation(horizontal_flip=True, crop=1)
    for weights in (1 + np.abs(x[..., 0]), np.arange(8.0)[:, None, None]):
        moved = Batches(
            {"": x}, {"": x[..., 0]}, (0, 0), batch_size=8, augmentation=augmentation, weights={"": weights}
        )[0]
        if weights.shape == x.shape[:3]:
            np.testing.assert_allclose(moved[2], np.where(moved[1] == 0, 0, 1 + np.abs(moved[1])))
        else:
            np.testing.assert_array_equal(moved[2], weights)


def test_each_output_has_its_own() -> None:
    left = keras.Input((5,), name="left")
    outputs = [
        keras.layers.Dense(1, name="value")(left),
        keras.layers.Dense(3, activation="softmax", name="kind")(left),
    ]
    made = keras.Model(left, outputs)
    data = Data.of(
        {"x_train": X, "y_train": {"value": X[:, :1], "kind": Y}, "sample_weight_train.value": np.full(12, 2.0)}
    ).fit_to(made)
    loss = {"value": "mse", "kind": "sparse_categorical_crossentropy"}
    compiling = Compiling(made, TrainingSpec(loss=loss, class_weights={2: 5.0}), data)
    weights = compiling.sample_weights(compiling.fit_targets(data))
    np.testing.assert_array_equal(weights["value"], np.full(12, 2))
    np.testing.assert_array_equal(weights["kind"], np.where(Y == 2, 5, 1))
    batches = Batches(data.x_train, data.y_train, (0, [0, 0]), batch_size=12, weights=weights)
    compiling.compile(made)
    assert np.isfinite(made.fit(batches, verbose=0).history["loss"][0])


def test_weights_are_split_and_drawn_with_their_samples() -> None:
    data = Data.of(
        {"x_train": np.arange(20.0)[:, None], "y_train": np.arange(20), "sample_weight_train": np.arange(20)}
    )
    some = data.split(0.25, seed=1).subset(7, seed=2)
    np.testing.assert_array_equal(some.sample_weight_train[""], some.y_train[""])
    assert some.num_train == 7


@pytest.mark.parametrize("weight", [np.ones(11), -np.ones(12), np.zeros(12), np.ones((12, 2)), np.full(12, np.nan)])
def test_weights_that_are_none_are_refused(weight: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        Data.of({"x_train": X, "y_train": Y, "sample_weight_train": weight})
    assert caught.value.field == "dataset.sample_weight_train"


def test_weights_of_what_there_is_not_are_refused() -> None:
    with pytest.raises(SpecError, match="unknown class") as caught:
        fitted(class_weights={3: 2.0})
    assert caught.value.field == "training.class_weights"
    with pytest.raises(SpecError, match="need a classification output"):
        fitted(np.eye(3, dtype="float32")[Y], loss="mse", class_weights="balanced")
    with pytest.raises(DataError, match="does not have"):
        fitted(weight={"tail": np.ones(12)})
