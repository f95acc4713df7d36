"""Reading weights, and giving them their first values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def read_weights(variable: keras.Variable) -> np.ndarray:
    """Return the value of a variable for reading only, without a copy where the backend's memory allows it."""
    tensor = keras.ops.stop_gradient(variable.value)
    try:
        return np.from_dlpack(tensor)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):
        # Device memory, or a type that NumPy does not have: every backend has its own error for it.
        return np.asarray(keras.ops.convert_to_numpy(tensor))


def stored_kernel(layer: keras.layers.EinsumDense) -> keras.Variable:
    """Return the kernel as the layer keeps it; its `kernel` is, where quantised, another tensor made of that."""
    kernel: keras.Variable = layer._kernel
    return kernel


def initialize_with(variable: keras.Variable, value: np.ndarray) -> None:
    """Let a variable that waits for its first value, as in a `StatelessScope`, get this one."""
    variable._initializer = _Value(value)


class _Value:
    """First value of a variable, in the form of an initializer."""

    def __init__(self, value: np.ndarray) -> None:
        self._value = value

    def __call__(self, shape: tuple[int, ...], dtype: object = None) -> Any:
        return keras.ops.convert_to_tensor(self._value, dtype=dtype)
