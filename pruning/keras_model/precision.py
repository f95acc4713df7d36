"""Computing in double precision on every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock

import keras
from keras.src.backend.common import dtypes

_ALONE = RLock()

POOLING_3D = (
    keras.layers.AdaptiveAveragePooling3D,
    keras.layers.AdaptiveMaxPooling3D,
    keras.layers.AveragePooling3D,
    keras.layers.MaxPooling3D,
)
"""Layers that TensorFlow cannot compute in float64 on a CPU."""


def in_double(layer: keras.Operation) -> str:
    """Return the precision in which a layer can be computed where all others are in float64."""
    return "float32" if isinstance(layer, POOLING_3D) else "float64"


@contextmanager
def double_precision() -> Iterator[None]:
    """While this lasts, what is asked of the backend in float64 is computed in float64, and not in float32.

    JAX has no float64 unless told to, and outside TensorFlow many of Keras's operations give float32 for it. Keras
    is told so for all threads, one of which can be in here at a time; what does not ask for float64 sees no change.
    """
    narrowed = dtypes.BIT64_TO_BIT32_DTYPE
    with _ALONE, _CONTEXTS.get(keras.backend.backend(), nullcontext)():
        before = narrowed["float64"]
        narrowed["float64"] = "float64"
        try:
            yield
        finally:
            narrowed["float64"] = before


def _jax() -> AbstractContextManager[object]:
    import jax

    return jax.enable_x64(True)  # type: ignore[no-any-return]


_CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {"jax": _jax}
