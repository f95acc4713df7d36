"""Layers that merge tensors entry by entry, with broadcasting."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import CustomScaleLayer
from pruning.rules.context import Context, Rule
from pruning.rules.records import Labels, Shape, Tensor


def merge(context: Context, layer: keras.Operation, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Add, Subtract, Multiply, Average, Maximum, Minimum: channels at the same place live or die together."""
    rank = len(outputs[0])
    inputs = [_of_rank(tensor, rank) for tensor in inputs]
    followed = [tensor for tensor in inputs if not _broadcast_over_channels(context, tensor, inputs)]
    if not followed:
        return [np.zeros((1,) * rank, dtype=np.int64)]
    first = followed[0]
    for tensor in followed[1:]:
        context.tie(first.labels, tensor.labels)
    shape = np.broadcast_shapes(*(tensor.labels.shape for tensor in followed))
    return [np.broadcast_to(first.labels, shape)]


def _of_rank(tensor: Tensor, rank: int) -> Tensor:
    """Return the tensor with axes of size 1 put right after the batch axis, as layers that merge do it."""
    missing = (1,) * (rank - len(tensor.shape))
    return Tensor(tensor.labels.reshape(missing + tensor.labels.shape), missing + tensor.shape)


def _broadcast_over_channels(context: Context, tensor: Tensor, inputs: list[Tensor]) -> bool:
    """Tell whether one entry of the tensor meets many channels of another; then its own channel must stay."""
    for axis, size in enumerate(tensor.shape):
        if size == 1 and any(other.shape[axis] != 1 and other.labels.shape[axis] > 1 for other in inputs):
            context.fix(tensor.labels, f"broadcast over all channels in {context.path}")
            return True
    return False


ROWS: dict[type, Rule] = {
    layers.Add: merge,
    layers.Subtract: merge,
    layers.Multiply: merge,
    layers.Average: merge,
    layers.Maximum: merge,
    layers.Minimum: merge,
    CustomScaleLayer: merge,
}
