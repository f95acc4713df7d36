"""Batches become arrays on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from pruning import prune
from pruning.datasets.data import Data
from pruning.errors import DataError
from tests.pruning.models import blobs, residual

X, Y = np.arange(84.0, dtype=np.float32).reshape(7, 4, 3), np.arange(7)


def pieces(*arrays: Any, size: int = 3) -> Iterator[Any]:
    for start in range(0, len(arrays[0]), size):
        yield tuple(array[start : start + size] for array in arrays)


class Numbered(keras.utils.PyDataset):
    def __init__(self, num_batches: int | None = 3) -> None:
        super().__init__()
        self._num_batches = num_batches

    @property
    def num_batches(self) -> int | None:
        return self._num_batches

    def __getitem__(self, index: int) -> Any:
        return X[3 * index : 3 * index + 3], Y[3 * index : 3 * index + 3]


def tf_data() -> Any:
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensor_slices((X, Y)).batch(3)


@pytest.mark.parametrize("stream", [lambda: pieces(X, Y), Numbered, tf_data], ids=["generator", "PyDataset", "tf.data"])
def test_a_stream_is_what_its_arrays_are(stream: Any) -> None:
    data = Data.of(stream())
    np.testing.assert_array_equal(data.x_train[""], X)
    np.testing.assert_array_equal(data.y_train[""], Y)
    assert isinstance(data.x_train[""], np.memmap)


def test_validation_weights_and_names() -> None:
    train = ({"a": x, "b": 2 * x} for (x,) in pieces(X))
    data = Data.of((((x, y, y + 1.0) for x, (y,) in zip(train, pieces(Y), strict=True)), pieces(X[:2], Y[:2])))
    np.testing.assert_array_equal(data.x_train["b"], 2 * X)
    np.testing.assert_array_equal(data.sample_weight_train[""], Y + 1.0)
    np.testing.assert_array_equal(data.y_val[""], Y[:2])


def test_inputs_are_known_by_their_names() -> None:
    batches = [({"a": X[:3], "b": 2 * X[:3]}, Y[:3]), ({"b": 2 * X[3:], "a": X[3:]}, Y[3:])]
    data = Data.of(iter(batches))
    np.testing.assert_array_equal(data.x_train["a"], X)
    np.testing.assert_array_equal(data.x_train["b"], 2 * X)


def test_half_precision_is_widened() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    data = Data.of(tensorflow.data.Dataset.from_tensor_slices((tensorflow.cast(X, "bfloat16"), Y)).batch(3))
    np.testing.assert_array_equal(data.x_train[""], X)


@pytest.mark.parametrize(
    "data",
    [lambda: (pieces(X, Y), (X[:2], Y[:2])), lambda: ((X, Y), pieces(X[:2], Y[:2])), lambda: (pieces(X, Y), None)],
)
def test_batches_beside_arrays(data: Any) -> None:
    made = Data.of(data())
    np.testing.assert_array_equal(made.x_train[""], X)
    if made.x_val:
        np.testing.assert_array_equal(made.y_val[""], Y[:2])


def test_inputs_alone() -> None:
    assert not Data.of(x for (x,) in pieces(X)).is_labelled


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (lambda: iter([]), "no batches"),
        (lambda: iter([(X, 3)]), "batches"),
        (lambda: iter([(X, Y), (X[:, :2], Y)]), r"shape \(2, 3\) after samples of float32 of shape \(4, 3\)"),
        (lambda: iter([(X, Y), X]), "x_train after x_train, y_train"),
        (lambda: iter([({"a": X}, Y), ({"b": X}, Y)]), r"x_train\.b, y_train after x_train\.a, y_train"),
        (lambda: iter([(X[:3], Y[:2]), (X[3:], Y[2:])]), "2 and 3 samples in one batch"),
        (lambda: iter([(X, np.zeros(7, "datetime64[s]"))]), "datetime64"),
        (lambda: iter([(X, np.array([{}] * 7))]), "object"),
        (lambda: Numbered(None), "infinite"),
        (lambda: tf_data().repeat(), "infinite"),
        (lambda: (pieces(X, Y), pieces(X, Y, Y)), "not supported for the validation set"),
        (lambda: (pieces(X, Y), (X, Y, Y)), "3 parts"),
        (lambda: (pieces(X, Y), X), "not a pair of arrays or batches"),
    ],
)
def test_what_is_no_stream_of_batches(stream: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Data.of(stream())


def test_a_model_is_pruned_with_batches_as_with_arrays() -> None:
    x, y = blobs()
    training = {"fine_tuning_epochs": 1}
    results = [
        prune(residual(compiled=True), {"ratio": 0.25}, data, training=training) for data in ((x, y), pieces(x, y))
    ]
    first, second = (result.model.get_weights() for result in results)
    assert all(map(np.array_equal, first, second))
