"""Fully connected layers."""

from __future__ import annotations

from typing import Any

from pruning.rules.activation import require_channelwise
from pruning.rules.context import Context, Labels, Shape, Tensor, single, spread


def dense(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Kernel `(in_channels, units)`, applied to the last axis."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    context.weight(layer.kernel, 0, context.along(tensor, rank - 1), "in")
    outgoing = context.new("units", layer.units)
    context.weight(layer.kernel, 1, outgoing, "out")
    context.weight(layer.bias, 0, outgoing, "out")
    context.width("units", outgoing)
    context.multiply(layer.kernel, tensor.shape[:-1])
    require_channelwise(context, layer.activation, outgoing)
    return [spread(outgoing, rank - 1, rank)]
