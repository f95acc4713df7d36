"""Layers that move entries without changing them: the same is done to the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pruning.rules.context import Context, Labels, LockedError, Shape, Tensor, channel_axis, single, spread


def flatten(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """All axes into one, channels last."""
    tensor = single(inputs)
    if layer.data_format == "channels_first" and len(tensor.shape) > 1:
        tensor = Tensor(np.moveaxis(tensor.labels, 0, -1), (*tensor.shape[1:], tensor.shape[0]))
    return [reshaped(context, tensor, outputs[0])]


def reshape(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Row-major reshape; entries of `target_shape` that count channels follow them."""
    labels = reshaped(context, single(inputs), outputs[0])
    for axis, size in enumerate(labels.shape):
        if size > 1 and layer.target_shape[axis] != -1:
            context.width("target_shape", labels.reshape(-1), index=axis)
    return [labels]


def permute(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Axes in the order of `dims`, which counts from 1."""
    return [np.transpose(single(inputs).labels, [axis - 1 for axis in layer.dims])]


def repeat_vector(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`(features,)` to `(n, features)`."""
    return [single(inputs).labels[np.newaxis, :]]


def concatenate(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """One after the other along `axis`; channels along another axis live or die together."""
    rank = len(outputs[0])
    if layer.axis in (0, -rank - 1):
        raise LockedError("it concatenates along the batch axis")
    axis = layer.axis - 1 if layer.axis > 0 else layer.axis + rank
    if any(size > 1 for tensor in inputs for i, size in enumerate(tensor.labels.shape) if i != axis):
        return [_stacked(context, inputs, axis)]
    if outputs[0][axis] is None:
        if any(np.any(tensor.labels) for tensor in inputs):
            raise LockedError("it concatenates along an axis of unknown size")
        return [np.zeros((1,) * rank, dtype=np.int64)]
    parts = [np.broadcast_to(tensor.labels.reshape(-1), (tensor.shape[axis],)) for tensor in inputs]
    return [spread(np.concatenate(parts), axis, rank)]


def _stacked(context: Context, inputs: Sequence[Tensor], axis: int) -> Labels:
    """Concatenate along an axis on which channels do not lie: merge the labels position by position."""
    merged = inputs[0]
    for tensor in inputs[1:]:
        context.tie(_collapsed(context, merged, axis), _collapsed(context, tensor, axis))
    return _collapsed(context, merged, axis)


def _collapsed(context: Context, tensor: Tensor, axis: int) -> Labels:
    first = np.take(tensor.labels, [0], axis=axis)
    if tensor.labels.shape[axis] > 1:
        context.tie(first, tensor.labels)
    return first


def reshaped(context: Context, tensor: Tensor, target: Shape) -> Labels:
    """Reshape labels; the result varies along one axis at most.

    What stays of a tensor has to be a box, or it could not be reshaped after pruning: where channels
    would come to lie along several axes, they are tied over all of these but one.

    Raises:
        LockedError: A size is not known and channels are affected.
    """
    labels = tensor.labels
    rank = len(target)
    if labels.size == 1:
        context.span(labels.reshape(1))
        return labels.reshape((1,) * rank)
    if None in tensor.shape or None in target:
        only_last = labels.size == labels.shape[-1] == target[-1]
        if only_last:
            return spread(labels.reshape(-1), rank - 1, rank)
        raise LockedError("it reshapes channels into or out of an axis of unknown size")
    sizes = [size for size in target if size is not None]
    if math.prod(sizes) != math.prod(size for size in tensor.shape if size is not None):
        raise LockedError("it changes the number of entries")
    full = np.broadcast_to(labels, [size for size in tensor.shape if size is not None]).reshape(sizes)
    varying = [axis for axis in range(rank) if np.any(np.take(full, [0], axis=axis) != full)]
    if not varying:
        first = full.reshape(-1)[:1]
        context.span(first)
        return first.reshape((1,) * rank)
    preferred = channel_axis(context.layer, rank)
    axis = preferred if preferred in varying else varying[-1]
    return spread(context.along(Tensor(full, target), axis), axis, rank)
