"""Activations and other layers that treat every entry by itself."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import StochasticDepth
from pruning.rules.context import Context, LockedError, Rule, channel_axis, single
from pruning.rules.normalization import axes_of, cut_along
from pruning.rules.records import Labels, Shape, Tensor

CHANNELWISE_ACTIVATIONS = frozenset(
    getattr(keras.activations, name)
    for name in (
        "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
        "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus",
        "softsign", "sparse_plus", "squareplus", "tanh", "tanh_shrink", "threshold",
    )
)  # fmt: skip
"""Activation functions in which no channel looks at another; softmax and glu are not among them."""

CHANNELWISE_LAYERS = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)
"""Layers without weights that may stand for an activation function."""


def require_channelwise(context: Context, activation: object, labels: Labels) -> None:
    """Lock the channels that go into an activation which mixes them, or which is not known."""
    if activation is None or type(activation) in CHANNELWISE_LAYERS:
        return
    if activation not in CHANNELWISE_ACTIVATIONS:
        name = getattr(activation, "__name__", type(activation).__name__)
        context.fix(labels, f"activation {name} of {context.path} looks at several channels at once, or is not known")


def activation(context: Context, layer: layers.Activation, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`keras.layers.Activation`: any function by name; softmax over the channels that are left."""
    tensor = single(inputs)
    if layer.activation in (keras.activations.softmax, keras.activations.log_softmax):
        axis = context.varying(tensor)
        if axis is not None and axis == len(tensor.shape) - 1:
            context.read(0, tensor, axis)
    else:
        require_channelwise(context, layer.activation, tensor.labels)
    return [tensor.labels]


def elementwise(context: Context, layer: keras.Operation, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Every entry by itself, whatever the channel."""
    return [single(inputs).labels]


def masking(context: Context, layer: layers.Masking, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """A step is masked if all its channels have one value, so that none may be missing."""
    labels = single(inputs).labels
    if np.any(labels):
        raise LockedError("a step is masked by the values of all its channels")
    return [labels]


def dropout(
    context: Context, layer: layers.Dropout | layers.AlphaDropout, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Elementwise, unless a noise shape counts channels."""
    labels = single(inputs).labels
    if layer.noise_shape is not None:
        counted = [size not in (None, 1) for size in layer.noise_shape[1:]]
        if len(counted) != labels.ndim or any(
            size > 1 and fixed for size, fixed in zip(labels.shape, counted, strict=True)
        ):
            raise LockedError("its noise_shape counts channels")
    return [labels]


def rescaling(context: Context, layer: layers.Rescaling, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Elementwise; scale and offset may be given for each channel on the last axis, or first by Keras's setting."""
    tensor = single(inputs)
    rank = len(tensor.shape)
    given = [key for key in ("scale", "offset") if np.ndim(getattr(layer, key)) > 0]
    if any(np.ndim(getattr(layer, key)) > 1 for key in given):
        raise LockedError("its scale or offset is an array of several axes")
    if given:
        channels_first = keras.config.image_data_format() == "channels_first" and "scale" in given
        if channels_first:
            raise LockedError("its scale is given channel by channel, with channels first")
        labels = context.along(tensor, rank - 1)
        for key in given:
            if len(getattr(layer, key)) > 1:
                context.setting(key, cut_along(0), labels)
    return [tensor.labels]


def prelu(context: Context, layer: layers.PReLU, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Slopes `alpha` of the input's shape, with size 1 on shared axes."""
    tensor = single(inputs)
    axis = channel_axis(layer, len(tensor.shape))
    labels = context.along(tensor, axis)
    if layer.alpha.shape[axis] == len(labels):
        context.weight(layer.alpha, axis, labels, "through")
    else:
        context.same_for_all_channels(layer.alpha)
    return [tensor.labels]


def softmax(context: Context, layer: layers.Softmax, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Normalises along an axis: over the channels that are left where they lie on it."""
    tensor = single(inputs)
    axis = context.varying(tensor)
    if axis is None:
        return [tensor.labels]
    mask = context.named().get("mask")
    if mask is not None:
        from_end = axis - len(tensor.shape)  # Shapes are aligned at their ends.
        if len(mask.shape) >= -from_end and mask.shape[from_end] != 1:
            raise LockedError("its mask has an entry for each channel")
    if axis in axes_of(layer.axis, len(tensor.shape)):
        context.read(0, tensor, axis)
    return [tensor.labels]


ROWS: dict[type, Rule] = {
    layers.Activation: activation,
    layers.ELU: elementwise,
    layers.LeakyReLU: elementwise,
    layers.PReLU: prelu,
    layers.ReLU: elementwise,
    layers.Softmax: softmax,
    layers.Identity: elementwise,
    layers.ActivityRegularization: elementwise,
    layers.Rescaling: rescaling,
    layers.Dropout: dropout,
    layers.AlphaDropout: dropout,
    layers.GaussianDropout: elementwise,
    layers.GaussianNoise: elementwise,
    layers.SpatialDropout1D: elementwise,
    layers.SpatialDropout2D: elementwise,
    layers.SpatialDropout3D: elementwise,
    StochasticDepth: elementwise,
    layers.RandomBrightness: elementwise,
    layers.RandomContrast: elementwise,
    layers.Masking: masking,
}
