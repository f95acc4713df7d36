"""`keras.ops` that move entries without changing them: the same is done to the labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pruning.keras_model.operations import arrays, core, nn
from pruning.rules.context import Context, LockedError, Rule, single, spread
from pruning.rules.normalization import axes_of
from pruning.rules.records import Labels, Shape, Tensor
from pruning.rules.shape import reshaped


def reordered(
    context: Context,
    operation: arrays.Transpose | arrays.Moveaxis | arrays.Swapaxes | arrays.Flip,
    inputs: list[Tensor],
    outputs: list[Shape],
) -> list[Labels]:
    """Transpose, moveaxis, swapaxes, flip: NumPy does the same by the same attributes."""
    labels = single(inputs).labels[np.newaxis]
    if _moved(operation, np.zeros((2,) + (1,) * (labels.ndim - 1), dtype=np.int64)).shape[0] != 2:
        raise LockedError("it moves the batch axis")
    return [_moved(operation, labels)[0]]


def _moved(operation: Any, array: np.ndarray) -> np.ndarray:
    moves: dict[type, Callable[[], np.ndarray]] = {
        arrays.Transpose: lambda: np.transpose(array, operation.axes),
        arrays.Moveaxis: lambda: np.moveaxis(array, operation.source, operation.destination),
        arrays.Swapaxes: lambda: np.swapaxes(array, operation.axis1, operation.axis2),
        arrays.Flip: lambda: np.flip(array, operation.axis),
    }
    return moves[type(operation)]()


def rolled(context: Context, operation: arrays.Roll, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Positions are shifted in a circle; where channels are, the shift would no longer fit."""
    tensor = single(inputs)
    if operation.axis is None or context.varying(tensor) in axes_of(operation.axis, len(tensor.shape)):
        raise LockedError("it shifts channels by a fixed number of places")
    return [tensor.labels]


def squeezed(context: Context, operation: arrays.Squeeze, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Axes of size 1 go."""
    tensor = single(inputs)
    if operation.axis is None:
        axes = [axis for axis, size in enumerate(tensor.shape) if size == 1]
    else:
        axes = axes_of(operation.axis, len(tensor.shape))
    return [np.squeeze(tensor.labels, axis=tuple(axes))]


def expanded(
    context: Context, operation: arrays.ExpandDims, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Axes of size 1 come in."""
    return [np.expand_dims(single(inputs).labels, axis=tuple(axes_of(operation.axis, len(outputs[0]))))]


def reshape_operation(
    context: Context, operation: arrays.Reshape, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Row-major reshape; entries of `newshape` that count channels follow them."""
    labels = reshaped(context, single(inputs), outputs[0])
    for axis, size in enumerate(labels.shape):
        if size > 1 and operation.newshape[axis + 1] != -1:
            context.width("newshape", labels.reshape(-1), index=axis + 1)
    return [labels]


def broadcast_to(
    context: Context, operation: arrays.BroadcastTo, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Axes of size 1 are repeated; entries of `shape` that count channels follow them."""
    tensor = single(inputs)
    if len(tensor.shape) != len(outputs[0]):
        raise LockedError("it broadcasts to another rank")
    axis = context.varying(tensor)
    if axis is not None:
        context.width("shape", context.along(tensor, axis), index=axis + 1)
    return [tensor.labels]


def tiled(context: Context, operation: arrays.Tile, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Each axis several times over."""
    tensor = single(inputs)
    repeats = operation.repeats if isinstance(operation.repeats, list | tuple) else [operation.repeats]
    repeats = [1] * (len(tensor.shape) + 1 - len(repeats)) + list(repeats)
    if len(repeats) > len(tensor.shape) + 1 or repeats[0] != 1:
        raise LockedError("it repeats the batch axis")
    axis = context.varying(tensor)
    if axis is None:
        return [tensor.labels]
    return [_each(tensor, axis, np.tile(context.along(tensor, axis), repeats[axis + 1]))]


def repeated(context: Context, operation: arrays.Repeat, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Each entry along an axis several times."""
    tensor = single(inputs)
    if operation.axis is None:
        raise LockedError("it repeats the batch axis")
    axis = context.varying(tensor)
    if axis is None or axis not in axes_of(operation.axis, len(tensor.shape)):
        return [tensor.labels]
    if np.ndim(operation.repeats) > 0:
        raise LockedError("it repeats each channel another number of times")
    return [_each(tensor, axis, np.repeat(context.along(tensor, axis), operation.repeats))]


def padded(context: Context, operation: arrays.Pad, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Constants beside the channels are channels that must stay."""
    tensor = single(inputs)
    widths = [tuple(width) for width in operation.pad_width]
    widths = widths * (len(tensor.shape) + 1) if len(widths) == 1 else widths
    if widths[0] != (0, 0):
        raise LockedError("it pads the batch axis")
    axis = context.varying(tensor)
    if axis is None or widths[axis + 1] == (0, 0):
        return [tensor.labels]
    if operation.mode != "constant":
        raise LockedError("it pads channels with other channels")
    return [_each(tensor, axis, np.pad(context.along(tensor, axis), widths[axis + 1]))]


def stacked(context: Context, operation: arrays.Stack, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Side by side along a new axis: channels at the same place live or die together."""
    for tensor in inputs[1:]:
        context.tie(inputs[0].labels, tensor.labels)
    axis = axes_of(operation.axis, len(outputs[0]))[0]
    shape = np.broadcast_shapes(*(tensor.labels.shape for tensor in inputs))
    return [np.expand_dims(np.broadcast_to(inputs[0].labels, shape), axis)]


def split(
    context: Context, operation: arrays.Split | arrays.ArraySplit, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Cut into parts along an axis; where channels lie on it, the places to cut at follow them."""
    tensor = single(inputs)
    axis = axes_of(operation.axis, len(tensor.shape))[0]
    if context.varying(tensor) != axis:
        return [tensor.labels] * len(outputs)
    sizes = [int(shape[axis] or 0) for shape in outputs]
    parts = np.split(context.along(tensor, axis), np.cumsum(sizes)[:-1])
    for part in parts:
        context.span(part)

    def places(value: object, stays: list[np.ndarray]) -> object:
        counts = [int(np.count_nonzero(part)) for part in stays]
        even = isinstance(value, int) and len(set(counts)) == 1
        return value if even else tuple(int(place) for place in np.cumsum(counts)[:-1])

    context.setting("indices_or_sections", places, *parts)
    return [_each(tensor, axis, part) for part in parts]


def unstacked(context: Context, operation: core.Unstack, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """One tensor for each place on an axis."""
    tensor = single(inputs)
    axis = axes_of(operation.axis, len(tensor.shape))[0]
    if context.varying(tensor) == axis:
        raise LockedError("it makes a tensor of each channel")
    return [np.take(tensor.labels, 0, axis=axis)] * len(outputs)


def depth_to_space(
    context: Context, operation: nn.DepthToSpace, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Channels of one pixel become those of a square of pixels, which live or die together."""
    tensor = single(inputs)
    rows = _of_each_pixel(context, operation, tensor).reshape(operation.block_size**2, -1)
    context.tie(rows[:1], rows[1:])
    return [spread(rows[0], len(tensor.shape) - 1, len(tensor.shape))]


def space_to_depth(
    context: Context, operation: nn.SpaceToDepth, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """The channels of a square of pixels become those of one."""
    tensor = single(inputs)
    labels = np.tile(_of_each_pixel(context, operation, tensor), operation.block_size**2)
    return [spread(labels, len(tensor.shape) - 1, len(tensor.shape))]


def _of_each_pixel(context: Context, operation: nn.DepthToSpace | nn.SpaceToDepth, tensor: Tensor) -> Labels:
    if operation.data_format == "channels_first":
        raise LockedError("backends order the channels differently where they come first")
    return context.along(tensor, len(tensor.shape) - 1)


def _each(tensor: Tensor, axis: int, labels: Labels) -> Labels:
    return spread(labels, axis, len(tensor.shape))


ROWS: dict[type, Rule] = {
    nn.DepthToSpace: depth_to_space,
    nn.SpaceToDepth: space_to_depth,
    arrays.Transpose: reordered,
    arrays.Moveaxis: reordered,
    arrays.Swapaxes: reordered,
    arrays.Flip: reordered,
    arrays.Roll: rolled,
    arrays.Squeeze: squeezed,
    arrays.ExpandDims: expanded,
    arrays.Reshape: reshape_operation,
    arrays.BroadcastTo: broadcast_to,
    arrays.Tile: tiled,
    arrays.Repeat: repeated,
    arrays.Pad: padded,
    arrays.Stack: stacked,
    arrays.Split: split,
    arrays.ArraySplit: split,
    core.Unstack: unstacked,
}
