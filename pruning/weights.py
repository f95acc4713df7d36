"""Reading weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def read_weights(variable: Any) -> np.ndarray:
    """Return the value of a variable for reading only, without a copy where the backend's memory allows it."""
    tensor = keras.ops.stop_gradient(variable.value)
    try:
        return np.from_dlpack(tensor)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError):
        # Device memory, or a type that NumPy does not have: every backend has its own error for it.
        return np.asarray(keras.ops.convert_to_numpy(tensor))
