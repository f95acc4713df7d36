"""Normalisation: with statistics of each channel by itself, or of several channels at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import LayerScale
from pruning.rules.context import Context, LockedError, Rule, single, spread
from pruning.rules.records import Follow, Labels, Shape, Tensor


def batch_normalization(
    context: Context, layer: layers.BatchNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """gamma, beta, moving mean and moving variance, each of shape `(channels,)`.

    In inference each entry is scaled and shifted by itself, so that channels along another axis are free to go.
    """
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = axes_of(layer.axis, rank)[0]
    if context.varying(tensor) not in (None, axis):
        for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
            _lay(context, variable, [axis], tensor)
        return [tensor.labels]
    labels = context.along(tensor, axis)
    context.weight(layer.gamma, 0, labels, "scale")
    for variable in (layer.beta, layer.moving_mean, layer.moving_variance):
        context.weight(variable, 0, labels, "through")
    return [spread(labels, axis, rank)]


def layer_normalization(
    context: Context, layer: layers.LayerNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """gamma and beta have the shape of the axes over which the statistics are taken."""
    return _across(context, layer, single(inputs), [layer.gamma, layer.beta])


def rms_normalization(
    context: Context, layer: layers.RMSNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """scale has the shape of the axes over which the mean square is taken."""
    return _across(context, layer, single(inputs), [layer.scale])


def unit_normalization(
    context: Context, layer: layers.UnitNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """No weights."""
    return _across(context, layer, single(inputs), [])


def group_normalization(
    context: Context, layer: layers.GroupNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Groups stay equal in width; where each channel is a group, the number of groups follows."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = axes_of(layer.axis, rank)[0]
    labels = context.along(tensor, axis)
    if layer.groups == len(labels):
        context.width("groups", labels)
    else:
        groups = labels.reshape(layer.groups, -1)
        context.tie(groups[:1], groups[1:])
        context.read(0, tensor, axis)
    for variable in (layer.gamma, layer.beta):
        context.weight(variable, 0, labels, "through")
    return [spread(labels, axis, rank)]


def normalization(
    context: Context, layer: layers.Normalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Mean and variance have the shape of the kept axes; they are weights if adapted, else numbers in the config."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axes = sorted(axes_of(layer.axis, rank))
    if layer.input_mean is None:
        for variable in (layer.adapt_mean, layer.adapt_variance):
            _lay(context, variable, axes, tensor)
        context.same_for_all_channels(layer.count)
        return [tensor.labels]
    axis = context.varying(tensor)
    kept = axes[len(axes) - np.ndim(layer.input_mean) :]
    if axis is not None and axis in kept and np.shape(layer.input_mean)[kept.index(axis)] > 1:
        for key in ("mean", "variance"):
            context.setting(key, cut_along(kept.index(axis)), context.along(tensor, axis))
    return [tensor.labels]


def layer_scale(context: Context, layer: LayerScale, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """gamma of shape `(channels,)`, multiplied along the last axis."""
    tensor = single(inputs)
    labels = context.along(tensor, len(tensor.shape) - 1)
    context.weight(layer.gamma, 0, labels, "through")
    context.width("projection_dim", labels)
    return [tensor.labels]


def axes_of(axis: int | list[int] | tuple[int, ...] | None, rank: int) -> list[int]:
    """Return axes without the batch axis, not negative, from ones that count it; `None` stands for all.

    Raises:
        LockedError: The batch axis is among them.
    """
    given = axis if isinstance(axis, list | tuple) else [0 if axis is None else axis]
    axes = [one - 1 if one > 0 else one + rank if one < 0 else -1 for one in given]
    if any(one < 0 for one in axes):
        raise LockedError("it runs along the batch axis")
    return axes


def cut_along(axis: int) -> Follow:
    """Return what cuts an array along an axis to the channels that stay; an array or a tensor stays one."""

    def cut(value: Any, stays: list[np.ndarray]) -> object:
        array = keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
        kept = np.compress(stays[0], keras.ops.convert_to_numpy(array), axis=axis)
        if keras.ops.is_tensor(value):
            return keras.ops.convert_to_tensor(kept, dtype=value.dtype)
        return kept if isinstance(value, np.ndarray) else kept.tolist()

    return cut


def _across(
    context: Context,
    layer: layers.LayerNormalization | layers.RMSNormalization | layers.UnitNormalization,
    tensor: Tensor,
    variables: Sequence[keras.Variable | None],
) -> list[Labels]:
    axes = sorted(axes_of(layer.axis, len(tensor.shape)))
    axis = context.varying(tensor)
    if axis is not None and axis in axes:
        context.read(0, tensor, axis)
    for variable in variables:
        _lay(context, variable, axes, tensor)
    return [tensor.labels]


def _lay(context: Context, variable: keras.Variable | None, axes: Sequence[int], tensor: Tensor) -> None:
    """Say which channels lie along a variable that has the shape of these axes of a tensor."""
    axis = context.varying(tensor)
    if axis is not None and axis in axes:
        context.weight(variable, axes.index(axis), context.along(tensor, axis), "through")
    elif variable is not None:
        context.same_for_all_channels(variable)


ROWS: dict[type, Rule] = {
    layers.BatchNormalization: batch_normalization,
    layers.LayerNormalization: layer_normalization,
    layers.GroupNormalization: group_normalization,
    layers.RMSNormalization: rms_normalization,
    layers.UnitNormalization: unit_normalization,
    layers.Normalization: normalization,
    LayerScale: layer_scale,
}
