"""Fully connected layers."""

from __future__ import annotations

from keras import layers

from pruning.rules.activation import require_channelwise
from pruning.rules.context import Context, Rule, single, spread
from pruning.rules.quantised import measures_inputs, stored
from pruning.rules.records import Labels, Shape, Tensor


def dense(context: Context, layer: layers.Dense, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Kernel `(in_channels, units)`, applied to the last axis."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    kernel = stored(context, layer, "kernel")
    read = context.read(0, tensor, rank - 1) if measures_inputs(layer) else context.along(tensor, rank - 1)
    context.weight(kernel, 0, read, "in")
    outgoing = context.new("units", layer.units)
    context.weight(kernel, 1, outgoing, "out")
    if layer.quantization_mode == "int8":
        context.weight(layer.kernel_scale, 0, outgoing, "through")
    context.weight(layer.bias, 0, outgoing, "through")
    context.width("units", outgoing)
    context.multiply(kernel, tensor.shape[:-1])
    require_channelwise(context, layer.activation, outgoing)
    return [spread(outgoing, rank - 1, rank)]


ROWS: dict[type, Rule] = {
    layers.Dense: dense,
}
