"""`keras.ops` called as functions in a functional model."""

from __future__ import annotations

from typing import Any

from pruning.rules.context import Context, Labels, Shape, Tensor, single
from pruning.rules.merge import merge


def arithmetic(context: Context, operation: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Entry by entry with broadcasting, between tensors of the graph and constants."""
    return merge(context, operation, inputs, outputs)


def entrywise(context: Context, operation: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A function of each entry by itself."""
    return [single(inputs).labels]
