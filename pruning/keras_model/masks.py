"""The masks that Keras hangs on tensors: which steps of a sequence count.

A layer finds the mask on the tensor that it is called with, so one that takes another tensor's place has to carry
its mask.
"""

from __future__ import annotations

from typing import Any, TypeVar

from keras.src.backend import get_keras_mask, set_keras_mask

T = TypeVar("T")


def mask_of(tensor: object) -> Any:
    """Return the mask on a tensor, or `None`."""
    return get_keras_mask(tensor)


def with_mask(tensor: T, mask: object) -> T:
    """Put a mask, if there is one, on a tensor and return the tensor."""
    if mask is not None:
        set_keras_mask(tensor, mask)
    return tensor
