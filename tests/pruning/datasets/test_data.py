"""Data: forms that are taken, and what is refused by name."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.errors import DataError

X, Y = np.ones((10, 3), "float32"), np.arange(10)


@pytest.mark.parametrize(
    "form", [(X, Y), ((X, Y), (X[:2], Y[:2])), {"x_train": X, "y_train": Y}, {"x_train": {"a": X}, "y_train": {"b": Y}}]
)
def test_forms(form: Any) -> None:
    assert Data.of(form).num_train == 10


@pytest.mark.parametrize(
    ("form", "field", "says"),
    [
        ({"images": X, "y_train": Y}, "dataset", "images"),
        ({"x_train": X, "x_val": X, "y_val": Y}, "dataset.y_train", "y_train is missing"),
        ((X, Y[:9]), "dataset", "x_train: 10, y_train: 9"),
        ((X[:1], Y[:1]), "dataset.x_train", "1 samples"),
        ((X[:0], Y[:0]), "dataset.x_train", "0 samples"),
        ((np.where(np.arange(30).reshape(10, 3) == 16, np.nan, X), Y), "dataset.x_train", "first in sample 5"),
        ((X, np.array(list("abcdefghij"))), "dataset.y_train", "does not contain numbers"),
        ({"x_train": X, "y_train": Y, "x_val": X}, "dataset", "different numbers"),
        ("digits.csv", "dataset", "str"),
        (({}, {}), "dataset.x_train", "x_train is missing"),
        ((5, 5), "dataset.x_train", "int"),
        ({1: X}, "dataset", "'1'|1"),
        (([[1, 2], [3]], Y), "dataset.x_train", "list"),
    ],
)
def test_what_is_refused(form: Any, field: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        Data.of(form)
    assert caught.value.field == field


UNLABELLED: dict[str, Any] = {
    "an array": X,
    "by name": {"x_train": X},
    "none in so many words": (X, None),
    "several inputs": {"x_train.a": X, "x_train.b": 2 * X},
    "inputs to validate with": {"x_train": X, "x_val": X[:3]},
}


@pytest.mark.parametrize("form", UNLABELLED.values(), ids=list(UNLABELLED))
def test_data_without_targets_can_be_split_and_drawn_from_but_not_trained_on(form: Any) -> None:
    data = Data.of(form)
    assert (data.is_labelled, data.num_train, data.y_train) == (False, 10, {})
    held = data.split(0.2, seed=0)
    assert (held.num_train, held.num_val) == ((10, 3) if data.x_val else (8, 2))
    assert held.subset(4, seed=0).num_train == 4
    assert not held.subset(4, seed=0).is_labelled
    with pytest.raises(DataError, match="Training needs targets") as caught:
        data.require_targets("Training")
    assert caught.value.field == "dataset.y_train"
    assert Data.of((X, Y)).is_labelled


def test_no_validation_set_may_be_said_in_so_many_words() -> None:
    assert Data.of(((X, Y), None)).num_val == 0
    assert Data.of({"x_train": X, "y_train": Y, "x_val": None, "y_val": None}).num_val == 0


def test_lists_of_arrays_are_taken_in_the_models_order() -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    model = keras.Model([left, right], keras.layers.Add()([left, right]))
    data = Data.of(([X, 2 * X], X)).fit_to(model)
    np.testing.assert_array_equal(data.x_train["right"], 2 * X)


def test_split_holds_out_a_share_once_and_is_the_same_each_time() -> None:
    numbers = np.arange(50)[:, None].astype("float32")
    first, second = (Data.of((numbers, np.arange(50))).split(0.2, seed=3) for _ in range(2))
    assert (first.num_train, first.num_val) == (40, 10)
    np.testing.assert_array_equal(first.x_val[""], second.x_val[""])
    assert set(first.y_val[""]) | set(first.y_train[""]) == set(range(50))


def test_split_keeps_a_given_validation_set() -> None:
    data = Data.of(((X, Y), (X[:4], Y[:4])))
    assert data.split(0.5, seed=0) is data


def test_subset() -> None:
    assert Data.of((X, Y)).subset(4, seed=0).num_train == 4
    assert Data.of((X, Y)).subset(400, seed=0).num_train == 10


def test_shapes_are_checked_against_the_model() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(DataError, match=r"\(3,\).*\(4,\)"):
        Data.of((X, Y)).fit_to(model)


def test_names_are_checked_against_the_model() -> None:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    model = keras.Model([left, right], keras.layers.Add()([left, right]))
    with pytest.raises(DataError, match=r"x_train\.left, x_train\.right"):
        Data.of((X, Y)).fit_to(model)


def test_two_lists_are_inputs_and_outputs_and_two_tuples_are_training_and_validation() -> None:
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
    lists, tuples = Data.of(([x, x], [y, y])), Data.of(((x, y), (x, y)))
    assert [len(part) for part in (lists.x_train, lists.y_train, lists.x_val, lists.y_val)] == [2, 2, 0, 0]
    assert [len(part) for part in (tuples.x_train, tuples.y_train, tuples.x_val, tuples.y_val)] == [1, 1, 1, 1]
