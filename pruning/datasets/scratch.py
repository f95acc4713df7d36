"""Arrays on disk that go with the process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def array_on_disk(folder: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an array of zeros in a file without a name: it stays as long as the array, even if the process is killed.

    Args:
        folder: On the disk that is to hold it.
        shape: Of the array, not empty.
        dtype: Of the array.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
