"""What a run depends on beside what it is asked."""

from __future__ import annotations

import platform
from importlib import metadata

import keras


def versions() -> dict[str, str]:
    """Return the versions of Python, Keras and this library, and the name of Keras's backend."""
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "ridurre": metadata.version("ridurre"),
    }
