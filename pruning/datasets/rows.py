"""Some samples of an array, in the place of a copy of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_SAMPLES_AT_ONCE = 1024


class Rows:
    """Samples of an array that may lie on disk: only those that are asked for are read.

    Args:
        array: Shape `(num_samples, ...)`; another `Rows` will do.
        samples: Numbers of the samples that there are, in their order.

    Attributes:
        shape: As that of a copy.
        dtype: That of the array.
    """

    def __init__(self, array: np.ndarray | Rows, samples: np.ndarray) -> None:
        self._array, self._samples = array, samples
        self.shape: tuple[int, ...] = (len(samples), *array.shape[1:])
        self.dtype: np.dtype[Any] = array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, chosen: Any) -> np.ndarray:
        """Return a copy of some of the samples; `chosen` is a slice, a number, or an array of numbers."""
        return np.asarray(self._array[self._samples[chosen]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


Samples = np.ndarray | Rows
"""Samples along the first axis."""


def rows_of(inputs: Mapping[str, Samples], samples: np.ndarray) -> dict[str, Samples]:
    """Return some samples of each input, which stay where they are."""
    return {name: Rows(array, samples) for name, array in inputs.items()}


def chosen_of(targets: Mapping[str, Samples], samples: np.ndarray) -> dict[str, Samples]:
    """Return some samples of targets: those with places in them, such as masks, stay where they are."""
    return {
        name: Rows(array, samples) if array.ndim > 2 else np.asarray(array[samples]) for name, array in targets.items()
    }


def in_parts(array: Samples) -> Iterator[np.ndarray]:
    """Yield an array in parts that fit in memory."""
    for start in range(0, len(array), _SAMPLES_AT_ONCE):
        yield np.asarray(array[start : start + _SAMPLES_AT_ONCE])


def taken(inputs: Mapping[str, Samples], chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Return copies of some samples of each input."""
    return {name: np.asarray(array[chosen]) for name, array in inputs.items()}
