"""`keras.ops` called as functions in a functional model."""

from __future__ import annotations

from typing import Any

import numpy as np

from pruning.rules.context import Context, Labels, LockedError, Shape, Tensor, single
from pruning.rules.merge import merge


def arithmetic(context: Context, operation: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Entry by entry with broadcasting, between tensors of the graph and constants."""
    _require_scalars(context)
    return merge(context, operation, inputs, outputs)


def entrywise(context: Context, operation: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A function of each entry by itself."""
    _require_scalars(context)
    return [single(inputs).labels]


def _require_scalars(context: Context) -> None:
    """Lock an operation with a constant array: its entries would have to be cut with the channels."""
    if any(np.ndim(constant) > 0 for constant in context.constants):
        raise LockedError("one of its arguments is a constant array")
