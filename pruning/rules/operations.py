"""`keras.ops` called as functions in a functional model: arithmetic, functions of each entry, reductions."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import numpy as np

from pruning.keras_model.operations import arrays, core, linalg, nn, sums
from pruning.rules.context import Context, LockedError, Rule, single
from pruning.rules.merge import merge
from pruning.rules.normalization import axes_of, cut_along
from pruning.rules.records import Labels, Shape, Tensor


class Along(Protocol):
    """An operation along an axis, or several."""

    axis: int | list[int] | tuple[int, ...] | None


def arithmetic(
    context: Context, operation: keras.Operation, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Entry by entry with broadcasting, between tensors of the graph and constants, which are cut with the channels."""
    if any(len(tensor.shape) != len(outputs[0]) for tensor in inputs):
        raise LockedError("it merges tensors of different rank")
    labels = merge(context, operation, inputs, outputs)
    for key, value in context.arguments.items():
        if isinstance(value, keras.KerasTensor):
            continue
        cut_constant(context, key, value, Tensor(labels[0], outputs[0]))
    return labels


def cut_constant(context: Context, key: str | int, value: Any, tensor: Tensor) -> None:
    """Let a constant that is broadcast with a tensor follow its channels.

    Raises:
        LockedError: The constant is a variable, or holds a value for each sample.
    """
    if isinstance(value, keras.Variable):
        raise LockedError("one of its arguments is a variable that no layer owns")
    shape = np.shape(value)
    rank = len(tensor.shape)
    if len(shape) > rank and shape[0] != 1:
        raise LockedError("one of its arguments is a constant for each sample of a batch")
    axis = context.varying(tensor)
    along = None if axis is None else axis - rank + len(shape)
    if axis is None or along is None or along < 0 or shape[along] == 1:
        context.argument(key)
    else:
        context.argument(key, cut_along(along), context.along(tensor, axis))


def entrywise(context: Context, operation: keras.Operation, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A function of each entry by itself."""
    return [single(inputs).labels]


def along_positions(context: Context, operation: Along, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Any function along an axis on which no channels lie, that keeps the shape."""
    tensor = single(inputs)
    axes = range(len(tensor.shape)) if operation.axis is None else axes_of(operation.axis, len(tensor.shape))
    if context.varying(tensor) in axes:
        raise LockedError("it looks at all channels at once")
    return [tensor.labels]


def across(context: Context, operation: Along, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A function along an axis that keeps the shape: over the channels that are left where they lie on it."""
    tensor = single(inputs)
    axis = context.varying(tensor)
    if axis is not None and axis in axes_of(operation.axis, len(tensor.shape)):
        context.read(0, tensor, axis)
    return [tensor.labels]


def reduction(context: Context, operation: Along, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Over positions each channel by itself; over channels, those that are left."""
    tensor = single(inputs)
    if _reduces_channels(context, operation, tensor):
        context.read(0, tensor, int(context.varying(tensor) or 0))
    return _reduced(context, operation, tensor, outputs)


def positional_reduction(
    context: Context, operation: Along | nn.Moments, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Over positions each channel by itself; over channels there is no reference for it."""
    tensor = single(inputs)
    if _reduces_channels(context, operation, tensor):
        raise LockedError("it looks at all channels at once")
    return _reduced(context, operation, tensor, outputs)


def vector_norm(context: Context, operation: linalg.Norm, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Norms of vectors, to which a zero adds nothing; matrix norms only over positions."""
    if operation.ord in (None, 1, 2, np.inf) and operation.axis is not None and len(operation.axis) == 1:
        return reduction(context, operation, inputs, outputs)
    return positional_reduction(context, operation, inputs, outputs)


def gated(context: Context, operation: nn.Glu, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`glu`: one half of the channels, times the sigmoid of the other half."""
    tensor = single(inputs)
    axis = context.varying(tensor)
    if axis is None or axis not in axes_of(operation.axis, len(tensor.shape)):
        return [tensor.labels]
    halves = np.split(tensor.labels, 2, axis=axis)
    context.tie(*halves)
    context.span(context.along(Tensor(halves[0], outputs[0]), axis))
    return [halves[0]]


def _reduces_channels(context: Context, operation: Along | nn.Moments, tensor: Tensor) -> bool:
    axis = context.varying(tensor)
    return axis is not None and axis in reduced_axes(operation, len(tensor.shape))


def reduced_axes(operation: Along | nn.Moments, rank: int) -> list[int]:
    """Return the axes that an operation reduces, without the batch axis.

    Raises:
        LockedError: The batch axis is among them.
    """
    return axes_of(operation.axes if isinstance(operation, nn.Moments) else operation.axis, rank)


def _reduced(context: Context, operation: Along | nn.Moments, tensor: Tensor, outputs: list[Shape]) -> list[Labels]:
    axes = reduced_axes(operation, len(tensor.shape))
    axis = context.varying(tensor)
    rank = len(outputs[0])
    if axis is None or axis in axes:
        if axis is None:
            context.span(tensor.labels.reshape(1))
        labels = tensor.labels if axis is None else np.zeros(1, dtype=np.int64)
        return [labels.reshape((1,) * rank)] * len(outputs)
    labels = context.along(tensor, axis)
    place = axis if getattr(operation, "keepdims", False) else axis - sum(one < axis for one in axes)
    shape = [1] * rank
    shape[place] = len(labels)
    return [labels.reshape(shape)] * len(outputs)


ROWS: dict[type, Rule] = {
    arrays.Add: arithmetic,
    arrays.Arctan2: arithmetic,
    arrays.Divide: arithmetic,
    arrays.DivideNoNan: arithmetic,
    arrays.Equal: arithmetic,
    arrays.FloorDivide: arithmetic,
    arrays.Fmax: arithmetic,
    arrays.Fmin: arithmetic,
    arrays.Greater: arithmetic,
    arrays.GreaterEqual: arithmetic,
    arrays.Hypot: arithmetic,
    arrays.Less: arithmetic,
    arrays.LessEqual: arithmetic,
    arrays.Logaddexp: arithmetic,
    arrays.LogicalAnd: arithmetic,
    arrays.LogicalOr: arithmetic,
    arrays.LogicalXor: arithmetic,
    arrays.Maximum: arithmetic,
    arrays.Minimum: arithmetic,
    arrays.Mod: arithmetic,
    arrays.Multiply: arithmetic,
    arrays.NotEqual: arithmetic,
    arrays.Power: arithmetic,
    arrays.Subtract: arithmetic,
    arrays.TrueDivide: arithmetic,
    arrays.Where: arithmetic,
    arrays.Absolute: entrywise,
    arrays.Arccos: entrywise,
    arrays.Arccosh: entrywise,
    arrays.Arcsin: entrywise,
    arrays.Arcsinh: entrywise,
    arrays.Arctan: entrywise,
    arrays.Arctanh: entrywise,
    arrays.Cbrt: entrywise,
    arrays.Ceil: entrywise,
    arrays.Clip: entrywise,
    arrays.Copy: entrywise,
    arrays.Cos: entrywise,
    arrays.Cosh: entrywise,
    arrays.Exp: entrywise,
    arrays.Exp2: entrywise,
    arrays.Expm1: entrywise,
    arrays.Floor: entrywise,
    arrays.Isfinite: entrywise,
    arrays.Isinf: entrywise,
    arrays.Isnan: entrywise,
    arrays.Log: entrywise,
    arrays.Log10: entrywise,
    arrays.Log1p: entrywise,
    arrays.Log2: entrywise,
    arrays.LogicalNot: entrywise,
    arrays.NanToNum: entrywise,
    arrays.Negative: entrywise,
    arrays.OnesLike: entrywise,
    arrays.Reciprocal: entrywise,
    arrays.Round: entrywise,
    arrays.Sign: entrywise,
    arrays.Sin: entrywise,
    arrays.Sinh: entrywise,
    arrays.Sqrt: entrywise,
    arrays.Square: entrywise,
    arrays.Tan: entrywise,
    arrays.Tanh: entrywise,
    arrays.Trunc: entrywise,
    arrays.ZerosLike: entrywise,
    sums.Erf: entrywise,
    sums.Rsqrt: entrywise,
    core.Cast: entrywise,
    core.SaturateCast: entrywise,
    core.StopGradient: entrywise,
    nn.Celu: entrywise,
    nn.Elu: entrywise,
    nn.Gelu: entrywise,
    nn.HardShrink: entrywise,
    nn.HardSigmoid: entrywise,
    nn.HardSilu: entrywise,
    nn.HardTanh: entrywise,
    nn.LeakyRelu: entrywise,
    nn.LogSigmoid: entrywise,
    nn.Relu: entrywise,
    nn.Relu6: entrywise,
    nn.Selu: entrywise,
    nn.Sigmoid: entrywise,
    nn.Silu: entrywise,
    nn.SoftShrink: entrywise,
    nn.Softplus: entrywise,
    nn.Softsign: entrywise,
    nn.SparsePlus: entrywise,
    nn.SparseSigmoid: entrywise,
    nn.Squareplus: entrywise,
    nn.TanhShrink: entrywise,
    nn.Threshold: entrywise,
    arrays.All: reduction,
    arrays.Amax: reduction,
    arrays.Amin: reduction,
    arrays.Any: reduction,
    arrays.Max: reduction,
    arrays.Mean: reduction,
    arrays.Min: reduction,
    arrays.Prod: reduction,
    arrays.Std: reduction,
    arrays.Sum: reduction,
    arrays.Var: reduction,
    sums.Logsumexp: reduction,
    linalg.Norm: vector_norm,
    arrays.CountNonzero: positional_reduction,
    arrays.Median: positional_reduction,
    nn.Moments: positional_reduction,
    arrays.Cumprod: along_positions,
    arrays.Cumsum: along_positions,
    arrays.Sort: along_positions,
    nn.Softmax: across,
    nn.LogSoftmax: across,
    nn.Normalize: across,
    nn.Glu: gated,
}
