"""Pooling, padding, cropping and up-sampling: every channel by itself, all positions alike."""

from __future__ import annotations

from typing import Any

from pruning.rules.context import Context, channel_axis, single, spread
from pruning.rules.records import Labels, Shape, Tensor


def spatial_window(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Positions are pooled, padded, cut off or repeated; channels stay where they are."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    return [spread(context.along(tensor, axis), axis, rank)]


def global_pooling(context: Context, layer: Any, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """One value for each channel; `keepdims` keeps the spatial axes with size 1."""
    tensor = single(inputs)
    labels = context.along(tensor, channel_axis(layer, len(tensor.shape)))
    rank = len(outputs[0])
    return [spread(labels, channel_axis(layer, rank), rank)]
