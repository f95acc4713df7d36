"""Pooling, padding, cropping and up-sampling: every channel by itself, all positions alike."""

from __future__ import annotations

import keras
from keras import layers

from pruning.keras_model.operations import image, nn
from pruning.rules.context import Context, Rule, channel_axis, single, spread
from pruning.rules.records import Labels, Shape, Tensor


def spatial_window(
    context: Context, layer: keras.Operation, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Positions are pooled, padded, cut off or repeated; channels stay where they are."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    axis = channel_axis(layer, rank)
    return [spread(context.along(tensor, axis), axis, rank)]


def global_pooling(
    context: Context, layer: keras.Operation, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """One value for each channel; `keepdims` keeps the spatial axes with size 1."""
    tensor = single(inputs)
    labels = context.along(tensor, channel_axis(layer, len(tensor.shape)))
    rank = len(outputs[0])
    return [spread(labels, channel_axis(layer, rank), rank)]


ROWS: dict[type, Rule] = {
    layers.AveragePooling1D: spatial_window,
    layers.AveragePooling2D: spatial_window,
    layers.AveragePooling3D: spatial_window,
    layers.MaxPooling1D: spatial_window,
    layers.MaxPooling2D: spatial_window,
    layers.MaxPooling3D: spatial_window,
    layers.GlobalAveragePooling1D: global_pooling,
    layers.GlobalAveragePooling2D: global_pooling,
    layers.GlobalAveragePooling3D: global_pooling,
    layers.GlobalMaxPooling1D: global_pooling,
    layers.GlobalMaxPooling2D: global_pooling,
    layers.GlobalMaxPooling3D: global_pooling,
    layers.ZeroPadding1D: spatial_window,
    layers.ZeroPadding2D: spatial_window,
    layers.ZeroPadding3D: spatial_window,
    layers.Cropping1D: spatial_window,
    layers.Cropping2D: spatial_window,
    layers.Cropping3D: spatial_window,
    layers.UpSampling1D: spatial_window,
    layers.UpSampling2D: spatial_window,
    layers.UpSampling3D: spatial_window,
    layers.AdaptiveAveragePooling1D: spatial_window,
    layers.AdaptiveAveragePooling2D: spatial_window,
    layers.AdaptiveAveragePooling3D: spatial_window,
    layers.AdaptiveMaxPooling1D: spatial_window,
    layers.AdaptiveMaxPooling2D: spatial_window,
    layers.AdaptiveMaxPooling3D: spatial_window,
    layers.Resizing: spatial_window,
    layers.CenterCrop: spatial_window,
    layers.RandomCrop: spatial_window,
    layers.RandomFlip: spatial_window,
    layers.RandomRotation: spatial_window,
    layers.RandomTranslation: spatial_window,
    layers.RandomZoom: spatial_window,
    nn.AveragePool: spatial_window,
    nn.MaxPool: spatial_window,
    image.Resize: spatial_window,
}
