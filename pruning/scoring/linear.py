"""Layers as linear maps: how what they read is laid out in columns, and their kernels as matrices."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from pruning.keras_model.graph import Node
from pruning.keras_model.operations import BaseConv, BaseConvTranspose, BaseSeparableConv
from pruning.keras_model.parts import projections_of
from pruning.keras_model.weights import read_weights
from pruning.rules.context import LockedError, channel_axis
from pruning.rules.einsum_dense import Equation

Sizes = tuple[int, ...]
Columns = Callable[[np.ndarray, np.ndarray], np.ndarray]
Convolution = BaseConv | BaseConvTranspose | BaseSeparableConv

MOST_POSITIONS = 40
"""Positions of one sample that are looked at: they are much alike, and more samples say more."""

MOST_GRAM_BYTES = 2**30
"""Products of inputs that are held at most."""


@dataclass(frozen=True)
class Layout:
    """A kernel as matrices, one for each block of outputs that reads inputs of its own.

    Attributes:
        shape: The kernel's, perhaps with an axis taken apart.
        order: Its axes: first those that number blocks, then those that are read, then those that are made.
        num_blocks: How many of these axes number blocks.
        num_read: How many of these axes are read.
    """

    shape: Sizes
    order: Sizes
    num_blocks: int
    num_read: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many blocks, inputs and outputs of each block there are."""
        sizes, end = [self.shape[axis] for axis in self.order], self.num_blocks + self.num_read
        return math.prod(sizes[: self.num_blocks]), math.prod(sizes[self.num_blocks : end]), math.prod(sizes[end:])

    @property
    def gram_bytes(self) -> int:
        """Bytes of the products of all inputs of each block with each other, in float64."""
        blocks, inputs, _ = self.sizes
        return blocks * inputs**2 * 8

    def matrices(self, kernel: np.ndarray) -> np.ndarray:
        """Return a kernel as matrices, shape `(blocks, inputs, outputs)`."""
        return kernel.reshape(self.shape).transpose(self.order).reshape(self.sizes)

    def kernel(self, matrices: np.ndarray, shape: Sizes) -> np.ndarray:
        """Return the kernel of this shape of which `matrices` makes these."""
        ordered = matrices.reshape([self.shape[axis] for axis in self.order])
        back: np.ndarray = ordered.transpose(np.argsort(self.order)).reshape(shape)
        return back


@dataclass(frozen=True)
class Linear:
    """One kernel of a layer, and what it is multiplied by.

    Attributes:
        layer: What holds the kernel: the layer, or a projection in it.
        argument: The tensor that is read, as Keras's symbol for it in the call.
        kernel: The kernel's variable.
        bias: The variable that is added, one entry for each output; `None` without one.
        read_axes: Axes of the kernel along which channels are read.
        layout: The kernel as matrices.
        num_positions: `shape of the tensor -> how many positions of one sample the kernel is applied at`.
        columns: `(tensor, positions of shape (samples, n)) -> what the matrices are multiplied by there`, shape
            `(samples * n, blocks, inputs)`.
        made_along: Axis of the output on which the outputs lie, counted from the end; `None` if they lie on several.
    """

    layer: keras.Layer
    argument: keras.KerasTensor
    kernel: keras.Variable
    bias: keras.Variable | None
    read_axes: Sizes
    layout: Layout
    num_positions: Callable[[Sizes], int]
    columns: Columns
    made_along: int | None = -1


def positions(
    num_positions: int, num_samples: int, random: np.random.Generator, most: int = MOST_POSITIONS
) -> np.ndarray:
    """Return for each sample the positions that are looked at, shape `(samples, n)`: all, or `most` random ones."""
    if num_positions <= most:
        return np.tile(np.arange(num_positions), (num_samples, 1))
    return random.integers(num_positions, size=(num_samples, most))


def linears(node: Node) -> list[Linear]:
    """Return the kernels that read the tensors which a layer is called with.

    Args:
        node: Keras's record of one call of any layer or operation.

    Returns:
        None where the layer is not known, quantised, or has low-rank adapters.
    """
    row = LINEAR.get(type(node.operation))
    return [each for each in row(node.operation, node) if _is_plain(each.layer)] if row else []


def _is_plain(layer: keras.Layer) -> bool:
    return getattr(layer, "quantization_mode", None) is None and not getattr(layer, "lora_enabled", False)


def _convolution(layer: BaseConv, node: Node) -> list[Linear]:
    """Kernel `(*window, in_channels / groups, filters)`."""
    *window, inputs, filters = layer.kernel.shape
    shape = (*window, inputs, layer.groups, filters // layer.groups)
    rank = len(window)
    layout = Layout(shape, (rank + 1, *range(rank + 1), rank + 2), 1, rank + 1)

    def columns(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        windows = _windows(layer, tensor, chosen)
        grouped = windows.reshape(*windows.shape[:2], layer.groups, -1).transpose(0, 2, 1, 3)
        laid: np.ndarray = grouped.reshape(len(grouped), layer.groups, -1)
        return laid

    return [_spatial(layer, node, layer.kernel, (rank,), layout, columns)]


def _transposed_convolution(layer: BaseConvTranspose, node: Node) -> list[Linear]:
    """Kernel `(*window, filters, in_channels)`."""
    rank = layer.rank
    layout = Layout(tuple(layer.kernel.shape), (*range(rank), rank + 1, rank), 0, rank + 1)

    def columns(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return _windows(layer, tensor, chosen).reshape(chosen.size, 1, -1)

    return [_spatial(layer, node, layer.kernel, (rank + 1,), layout, columns)]


def _separable_convolution(layer: BaseSeparableConv, node: Node) -> list[Linear]:
    """The pointwise half, which reads what the depthwise half makes."""
    rank = layer.rank
    layout = Layout(tuple(layer.pointwise_kernel.shape), tuple(range(rank + 2)), 0, rank + 1)
    depthwise = read_weights(layer.depthwise_kernel).astype(np.float32)
    depthwise = depthwise.reshape(-1, *depthwise.shape[rank:])

    def columns(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        made: np.ndarray = np.einsum("nkc,kcm->ncm", _windows(layer, tensor, chosen), depthwise)
        return made.reshape(chosen.size, 1, -1)

    return [_spatial(layer, node, layer.pointwise_kernel, (rank,), layout, columns)]


def _spatial(
    layer: Convolution, node: Node, kernel: keras.Variable, read_axes: Sizes, layout: Layout, columns: Columns
) -> Linear:
    def num_positions(shape: Sizes) -> int:
        return math.prod(_made_sizes(layer, _spatial_sizes(layer, shape)))

    along = channel_axis(layer, layer.rank + 1) - layer.rank - 1
    return Linear(layer, _only(node), kernel, layer.bias, read_axes, layout, num_positions, columns, along)


def _only(node: Node) -> keras.KerasTensor:
    tensor: keras.KerasTensor = node.arguments.keras_tensors[0]
    return tensor


def _spatial_sizes(layer: Convolution, shape: Sizes) -> Sizes:
    axis = 1 + channel_axis(layer, len(shape) - 1)
    return tuple(size for index, size in enumerate(shape) if index not in (0, axis))


def _made_sizes(layer: Convolution, sizes: Sizes) -> Sizes:
    # Only sizes are asked for, and only channels can be negative.
    last = channel_axis(layer, len(sizes) + 1) == len(sizes)
    channels = layer.depthwise_kernel.shape[-2] if isinstance(layer, BaseSeparableConv) else _channels_read(layer)
    shape = (1, *sizes, channels) if last else (1, channels, *sizes)
    return _spatial_sizes(layer, tuple(layer.compute_output_shape(shape)))


def _channels_read(layer: BaseConv | BaseConvTranspose) -> int:
    shape = layer.kernel.shape
    return int(shape[-1] if isinstance(layer, BaseConvTranspose) else shape[-2] * layer.groups)


def _windows(layer: Convolution, tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return what the kernel's window sees at some output positions; zeros outside of the tensor.

    Args:
        layer: A convolution of any kind.
        tensor: What it reads, with the batch axis.
        chosen: Output positions, counted through, shape `(samples, n)`.

    Returns:
        Shape `(samples * n, window, channels)`.
    """
    axis = 1 + channel_axis(layer, tensor.ndim - 1)
    tensor = np.moveaxis(tensor, axis, -1)
    sizes = tensor.shape[1:-1]
    made = _made_sizes(layer, tuple(sizes))
    taken = (_transposed_taps if isinstance(layer, BaseConvTranspose) else _taps)(layer, sizes, made)
    window = math.prod(layer.kernel_size)
    place, inside = np.zeros((*chosen.shape, window), dtype=np.int64), np.ones((*chosen.shape, window), dtype=bool)
    taps = np.unravel_index(np.arange(window), layer.kernel_size)
    for size, positions, along, tap in zip(sizes, np.unravel_index(chosen, made), taken, taps, strict=True):
        source = along[positions][..., tap]
        place = place * size + np.maximum(source, 0)
        inside &= source >= 0
    flat = tensor.reshape(len(tensor), -1, tensor.shape[-1])
    seen = flat[np.arange(len(flat))[:, np.newaxis, np.newaxis], place]
    seen[~inside] = 0
    return seen.reshape(-1, window, tensor.shape[-1])


def _taps(layer: Convolution, sizes: Sizes, made: Sizes) -> list[np.ndarray]:
    """Return, along each axis, which entry each tap takes at each output, -1 for none; shapes `(outputs, taps)`."""
    found = []
    for size, count, taps, stride, dilation in zip(
        sizes, made, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    ):
        reach = (taps - 1) * dilation + 1
        padded = {"valid": 0, "causal": reach - 1, "same": max((count - 1) * stride + reach - size, 0) // 2}
        source = np.arange(count)[:, np.newaxis] * stride + np.arange(taps) * dilation - padded[layer.padding]
        found.append(np.where((source >= 0) & (source < size), source, -1))
    return found


def _transposed_taps(layer: Convolution, sizes: Sizes, made: Sizes) -> list[np.ndarray]:
    """As `_taps`: a tap reaches an output from the input that lies a whole number of strides away."""
    found = []
    for size, count, taps, stride, dilation in zip(
        sizes, made, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    ):
        reach = (taps - 1) * dilation + 1
        padded = max((size - 1) * stride + reach - count, 0) // 2 if layer.padding == "same" else 0
        source, rest = np.divmod(np.arange(count)[:, np.newaxis] + padded - np.arange(taps) * dilation, stride)
        found.append(np.where((rest == 0) & (source >= 0) & (source < size), source, -1))
    return found


def _dense(layer: layers.Dense, node: Node) -> list[Linear]:
    """Kernel `(in_channels, units)`, applied to the last axis."""
    return [_applied_to_last_axis(layer, _only(node))]


def _applied_to_last_axis(layer: layers.Dense | layers.EinsumDense, argument: keras.KerasTensor) -> Linear:
    shape = tuple(layer.kernel.shape)
    layout = Layout(shape, tuple(range(len(shape))), 0, 1)
    made_along = -1 if len(shape) == 2 else None
    return Linear(layer, argument, layer.kernel, layer.bias, (0,), layout, _all_but_last, _last, made_along)


def _all_but_last(shape: Sizes) -> int:
    return math.prod(shape[1:-1])


def _last(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return _chosen(tensor.reshape(len(tensor), -1, 1, tensor.shape[-1]), chosen)


def _chosen(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return some positions of a tensor `(samples, positions, blocks, inputs)`, samples and positions as one axis."""
    taken: np.ndarray = tensor[np.arange(len(tensor))[:, np.newaxis], chosen]
    return taken.reshape(-1, *taken.shape[2:])


def _einsum_dense(layer: layers.EinsumDense, node: Node) -> list[Linear]:
    """The letters say what each axis of the kernel does; see the rule for the layer."""
    out_rank = len(node.outputs[0].shape) - 1
    try:
        equation = Equation(layer.equation, len(_only(node).shape) - 1, out_rank)
    except LockedError:
        return []
    kernel, inputs, outputs = equation.kernel, equation.inputs, equation.outputs
    blocks = [letter for letter in kernel if letter in inputs and letter in outputs]
    read = [letter for letter in kernel if letter in inputs and letter not in outputs]
    made = [letter for letter in kernel if letter not in inputs]
    order = tuple(kernel.index(letter) for letter in (*blocks, *read, *made))
    layout = Layout(tuple(layer.kernel.shape), order, len(blocks), len(read))
    added = [letter for letter in inputs if letter not in kernel and letter not in outputs]
    positions = [letter for letter in inputs if letter not in kernel and letter in outputs]
    axes = [inputs[letter] + 1 for letter in (*positions, *blocks, *read)]

    def num_positions(shape: Sizes) -> int:
        return math.prod(shape[axis] for axis in axes[: len(positions)])

    def columns(tensor: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        summed = tensor.sum(axis=tuple(inputs[letter] + 1 for letter in added), keepdims=True)
        ordered = summed.transpose(0, *axes, *(inputs[letter] + 1 for letter in added))
        sizes = ordered.shape[1 + len(positions) :]
        num_blocks = math.prod(sizes[: len(blocks)])
        return _chosen(ordered.reshape(len(tensor), num_positions(tensor.shape), num_blocks, -1), chosen)

    is_added = layer.bias is not None and list(layer.bias_axes) == [*blocks, *made]
    read_axes = tuple(kernel.index(letter) for letter in read)
    made_along = outputs[made[0]] - out_rank if len(made) == 1 and not blocks else None
    bias = layer.bias if is_added else None
    return [Linear(layer, _only(node), layer.kernel, bias, read_axes, layout, num_positions, columns, made_along)]


def _attention(layer: layers.MultiHeadAttention | layers.GroupQueryAttention, node: Node) -> list[Linear]:
    """Projections `(in_channels, heads, width)` of the query, the key and the value."""
    given = inspect.signature(layer.call).bind_partial(*node.arguments.args, **node.arguments.kwargs).arguments
    query, value = given["query"], given["value"]
    key = value if given.get("key") is None else given["key"]
    inner = projections_of(layer)
    read = ((inner.query, query), (inner.gate, query), (inner.key, key), (inner.value, value))
    return [_applied_to_last_axis(dense, argument) for dense, argument in read if dense is not None]


LINEAR: dict[type, Callable[[Any, Node], list[Linear]]] = {
    layers.Conv1D: _convolution,
    layers.Conv2D: _convolution,
    layers.Conv3D: _convolution,
    layers.Conv1DTranspose: _transposed_convolution,
    layers.Conv2DTranspose: _transposed_convolution,
    layers.Conv3DTranspose: _transposed_convolution,
    layers.SeparableConv1D: _separable_convolution,
    layers.SeparableConv2D: _separable_convolution,
    layers.Dense: _dense,
    layers.EinsumDense: _einsum_dense,
    layers.MultiHeadAttention: _attention,
    layers.GroupQueryAttention: _attention,
}
"""Class of a layer → its kernels that read what it is called with.

Lookup is by exact class, as in the rules. Left out is what is read inside a layer: the output projection of attention
and recurrent kernels.
"""
