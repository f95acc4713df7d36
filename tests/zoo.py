"""The classic architectures, with random weights and realistic, randomised statistics."""

from __future__ import annotations

import keras
import numpy as np

CLASSICS = (
    "VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV2", "InceptionV3", "Xception",
)  # fmt: skip


def build(name: str) -> keras.Model:
    """Build a network of `keras.applications` with its classifier and random weights."""
    model: keras.Model = getattr(keras.applications, name)(weights=None)
    return model


def randomise_statistics(model: keras.Model, seed: int = 0) -> None:
    """Give every BatchNormalization random parameters, and statistics near those of its real activations.

    Zeros and ones would hide wrong slices; statistics drawn blindly would make deep networks saturate,
    and then the output would not depend on the input.
    """
    generator = np.random.default_rng(seed)
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        if layer.gamma is not None:
            layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
        if layer.beta is not None:
            layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
    if layers:
        model(
            generator.normal(size=(4, *(size or 128 for size in model.input_shape[1:]))).astype("float32"),
            training=True,
        )
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        deviation = np.sqrt(keras.ops.convert_to_numpy(layer.moving_variance))
        layer.moving_mean.assign_add(generator.normal(0, 0.1, deviation.shape) * deviation)
        layer.moving_variance.assign(deviation**2 * generator.uniform(0.5, 1.5, deviation.shape))
