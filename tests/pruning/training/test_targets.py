"""Targets in the form that a loss takes, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning.errors import DataError
from pruning.training.targets import fit_target

SPARSE = "sparse_categorical_crossentropy"


def fitted(target: Any, loss: Any, shape: tuple[int, ...] = (4,)) -> np.ndarray:
    return fit_target(np.array(target), shape, loss, "out", "dataset.y_train")


def test_labels_are_encoded_where_the_loss_wants_it() -> None:
    np.testing.assert_array_equal(fitted((0, 3), "categorical_crossentropy"), np.eye(4)[[0, 3]])


@pytest.mark.parametrize("labels", [(0, 4), (-1, 0)])
@pytest.mark.parametrize("loss", [SPARSE, "categorical_crossentropy"])
def test_labels_outside_the_outputs(labels: tuple[int, int], loss: str) -> None:
    with pytest.raises(DataError, match="whole numbers from 0 to 3") as caught:
        fitted(labels, loss)
    assert caught.value.field == "dataset.y_train"


def test_an_ignored_class_may_lie_outside() -> None:
    loss = {"class_name": "SparseCategoricalCrossentropy", "config": {"ignore_class": 255}}
    np.testing.assert_array_equal(fitted((3, 255), loss), [3, 255])


def test_targets_of_the_wrong_shape() -> None:
    with pytest.raises(DataError, match=r"\(2,\).*\(4,\)"):
        fitted(((0.5, 1.0), (1.0, 0.0)), "mean_squared_error")


def test_no_probabilities() -> None:
    with pytest.raises(DataError, match=r"numbers from 0\.0 to 1\.5"):
        fitted((0.0, 1.5), "binary_crossentropy", (1,))
