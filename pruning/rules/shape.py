"""Layers that move entries without changing them: the same is done to the labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from keras import layers

from pruning.keras_model.operations import arrays
from pruning.rules.context import Context, LockedError, Rule, channel_axis, single, spread
from pruning.rules.records import Labels, Shape, Tensor


def flatten(context: Context, layer: layers.Flatten, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """All axes into one, channels last."""
    tensor = single(inputs)
    if layer.data_format == "channels_first" and len(tensor.shape) > 1:
        tensor = Tensor(np.moveaxis(tensor.labels, 0, -1), (*tensor.shape[1:], tensor.shape[0]))
    return [reshaped(context, tensor, outputs[0])]


def reshape(context: Context, layer: layers.Reshape, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Row-major reshape; entries of `target_shape` that count channels follow them."""
    labels = reshaped(context, single(inputs), outputs[0])
    for axis, size in enumerate(labels.shape):
        if size > 1 and layer.target_shape[axis] != -1:
            context.width("target_shape", labels.reshape(-1), index=axis)
    return [labels]


def permute(context: Context, layer: layers.Permute, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Axes in the order of `dims`, which counts from 1."""
    return [np.transpose(single(inputs).labels, [axis - 1 for axis in layer.dims])]


def repeat_vector(
    context: Context, layer: layers.RepeatVector, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """`(features,)` to `(n, features)`."""
    return [single(inputs).labels[np.newaxis, :]]


def concatenate(
    context: Context, layer: layers.Concatenate | arrays.Concatenate, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
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
    """Reshape labels, row-major; the result varies along one axis at most.

    What stays of a tensor has to be a box, or it could not be reshaped after pruning: where channels
    would come to lie along several axes, they are tied over all of these but one.

    Raises:
        LockedError: A size is not known and channels are affected.
    """
    rank = len(target)
    varying = context.varying(tensor)
    if varying is None:
        context.span(tensor.labels.reshape(1))
        return tensor.labels.reshape((1,) * rank)
    sources, targets = _block(tensor.shape, target, varying)
    sizes = [tensor.shape[axis] or 0 for axis in sources]
    lying = spread(context.along(tensor, varying), varying - sources.start, len(sources))
    full = np.broadcast_to(lying, sizes).reshape([target[axis] or 0 for axis in targets])
    axes = [axis for axis in range(full.ndim) if np.any(np.take(full, [0], axis=axis) != full)]
    if not axes:
        first = full.reshape(-1)[:1]
        context.span(first)
        return first.reshape((1,) * rank)
    preferred = channel_axis(context.layer, rank) - targets.start
    axis = preferred if preferred in axes else axes[-1]
    return spread(context.along(Tensor(full, full.shape), axis), axis + targets.start, rank)


def _block(source: Shape, target: Shape, axis: int) -> tuple[range, range]:
    """Return the axes of both shapes that hold, between them, all entries along an axis of the first.

    Raises:
        LockedError: Axes of unknown size are among them.
    """
    found = _block_from_the_right(source, target, axis)
    if found is not None:
        return found
    if _known(source) == _known(target):
        found = _block_from_the_right(source[::-1], target[::-1], len(source) - 1 - axis)
    if found is None:
        raise LockedError("it reshapes channels into or out of an axis of unknown size, or the batch axis")
    first, second = (
        range(len(shape) - block.stop, len(shape) - block.start)
        for shape, block in zip((source, target), found, strict=True)
    )
    return first, second


def _known(shape: Shape) -> tuple[int, int]:
    """Return the product of the known sizes and the number of unknown ones."""
    return math.prod(size for size in shape if size is not None), shape.count(None)


def _block_from_the_right(source: Shape, target: Shape, axis: int) -> tuple[range, range] | None:
    ends = [len(source), len(target)]
    while min(ends) > 0:
        starts, products = [ends[0] - 1, ends[1] - 1], [source[ends[0] - 1], target[ends[1] - 1]]
        while products[0] != products[1]:
            side = 1 if products[1] is not None and (products[0] is None or products[1] < products[0]) else 0
            starts[side] -= 1
            size = (source, target)[side][starts[side]] if starts[side] >= 0 else None
            product = products[side]
            if size is None or product is None or products[1 - side] is None:
                return None
            products[side] = product * size
        if starts[0] <= axis:
            return (range(starts[0], ends[0]), range(starts[1], ends[1])) if products[0] is not None else None
        ends = starts
    return None


ROWS: dict[type, Rule] = {
    layers.Flatten: flatten,
    layers.Reshape: reshape,
    layers.Permute: permute,
    layers.RepeatVector: repeat_vector,
    layers.Concatenate: concatenate,
    arrays.Concatenate: concatenate,
}
