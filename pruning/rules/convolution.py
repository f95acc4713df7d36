"""Convolutions of every kind: plain, grouped, transposed, depthwise, separable; one to three dimensions."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import BaseConv, BaseConvTranspose, BaseDepthwiseConv, BaseSeparableConv
from pruning.rules.activation import require_channelwise
from pruning.rules.context import Context, Rule, channel_axis, single, spatial, spread
from pruning.rules.records import Labels, Role, Shape, Tensor


def convolution(context: Context, layer: BaseConv, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Kernel `(*window, in_channels / groups, filters)`."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    incoming = context.along(tensor, axis)
    conv_groups = layer.groups
    role: Role = "out"
    if conv_groups > 1 and conv_groups == len(incoming):
        # One input channel for each conv group is a depthwise convolution: channels pass through one by one.
        role = "through"
        outgoing = np.repeat(incoming, layer.filters // conv_groups)
        context.width("groups", incoming)
    else:
        outgoing = context.new("filters", layer.filters)
        read = incoming.reshape(conv_groups, -1)
        made = outgoing.reshape(conv_groups, -1)
        context.tie(read[:1], read[1:])
        context.tie(made[:1], made[1:])
        context.weight(layer.kernel, -2, read[0], "in")
    _produce(context, layer, layer.kernel, -1, outgoing, role)
    context.multiply(layer.kernel, spatial(outputs[0], axis))
    return [spread(outgoing, axis, rank)]


def transposed_convolution(
    context: Context, layer: BaseConvTranspose, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Kernel `(*window, filters, in_channels)`."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    context.weight(layer.kernel, -1, context.along(tensor, axis), "in")
    outgoing = context.new("filters", layer.filters)
    _produce(context, layer, layer.kernel, -2, outgoing, "out")
    context.multiply(layer.kernel, spatial(tensor.shape, axis))
    return [spread(outgoing, axis, rank)]


def depthwise_convolution(
    context: Context, layer: BaseDepthwiseConv, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Kernel `(*window, in_channels, depth_multiplier)`; output `c * depth_multiplier + m` comes from input `c`."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    incoming = context.along(tensor, axis)
    outgoing = np.repeat(incoming, layer.depth_multiplier)
    context.weight(layer.kernel, -2, incoming, "through")
    context.weight(layer.bias, 0, outgoing, "through")
    context.multiply(layer.kernel, spatial(outputs[0], axis))
    require_channelwise(context, layer.activation, outgoing)
    return [spread(outgoing, axis, rank)]


def separable_convolution(
    context: Context, layer: BaseSeparableConv, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """A depthwise kernel `(*window, in_channels, depth_multiplier)`, then a pointwise one."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    incoming = context.along(tensor, axis)
    outgoing = context.new("filters", layer.filters)
    context.weight(layer.depthwise_kernel, -2, incoming, "through")
    context.weight(layer.pointwise_kernel, -2, np.repeat(incoming, layer.depth_multiplier), "in")
    _produce(context, layer, layer.pointwise_kernel, -1, outgoing, "out")
    context.multiply(layer.depthwise_kernel, spatial(outputs[0], axis))
    context.multiply(layer.pointwise_kernel, spatial(outputs[0], axis))
    return [spread(outgoing, axis, rank)]


def _produce(
    context: Context,
    layer: BaseConv | BaseConvTranspose | BaseSeparableConv,
    kernel: keras.Variable,
    axis: int,
    outgoing: Labels,
    role: Role,
) -> None:
    context.weight(kernel, axis, outgoing, role)
    context.weight(layer.bias, 0, outgoing, "through")
    context.width("filters", outgoing)
    require_channelwise(context, layer.activation, outgoing)


ROWS: dict[type, Rule] = {
    layers.Conv1D: convolution,
    layers.Conv2D: convolution,
    layers.Conv3D: convolution,
    layers.Conv1DTranspose: transposed_convolution,
    layers.Conv2DTranspose: transposed_convolution,
    layers.Conv3DTranspose: transposed_convolution,
    layers.DepthwiseConv1D: depthwise_convolution,
    layers.DepthwiseConv2D: depthwise_convolution,
    layers.SeparableConv1D: separable_convolution,
    layers.SeparableConv2D: separable_convolution,
}
