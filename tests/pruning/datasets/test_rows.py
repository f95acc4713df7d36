"""Samples that stay where they are until they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.datasets.rows import Rows, taken

ARRAY = np.arange(60).reshape(10, 3, 2)
SAMPLES = np.array([7, 1, 4, 9])


@pytest.mark.parametrize("chosen", [slice(None), slice(1, 3), 2, -1, np.array([3, 0, 3]), np.array([], dtype=int)])
def test_rows_are_what_a_copy_would_be(chosen: Any) -> None:
    rows, copy = Rows(ARRAY, SAMPLES), ARRAY[SAMPLES]
    np.testing.assert_array_equal(rows[chosen], copy[chosen])
    assert (rows.shape, rows.dtype, rows.ndim, rows.size, len(rows)) == (
        copy.shape, copy.dtype, copy.ndim, copy.size, len(copy)
    )  # fmt: skip
    np.testing.assert_array_equal(np.asarray(rows), copy)


def test_rows_of_rows() -> None:
    np.testing.assert_array_equal(Rows(Rows(ARRAY, SAMPLES), np.array([3, 0])), ARRAY[[9, 7]])


def test_a_split_copies_no_inputs() -> None:
    data = Data.of((ARRAY, np.arange(10))).split(0.3, seed=1).subset(4, seed=2)
    for part in (data.x_train, data.x_val):
        assert not isinstance(part[""], np.ndarray)
    held = np.asarray(data.x_val[""])
    np.testing.assert_array_equal(taken(data.x_train, np.arange(4))[""], ARRAY[data.y_train[""]])
    np.testing.assert_array_equal(held, ARRAY[data.y_val[""]])
