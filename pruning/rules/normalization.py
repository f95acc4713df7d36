"""Normalisation with statistics of each channel by itself.

Layers whose statistics run across channels (LayerNormalization, GroupNormalization, …) change when a
channel goes; they have no rule and so stay locked.
"""

from __future__ import annotations

from typing import Any

from pruning.rules.context import Context, Labels, Shape, Tensor, single, spread


def batch_normalization(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """gamma, beta, moving mean and moving variance, each of shape `(channels,)`."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = layer.axis - 1 if layer.axis > 0 else layer.axis + rank
    labels = context.along(tensor, axis)
    context.weight(layer.gamma, 0, labels, "scale")
    for variable in (layer.beta, layer.moving_mean, layer.moving_variance):
        context.weight(variable, 0, labels, "through")
    return [spread(labels, axis, rank)]
