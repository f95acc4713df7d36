"""The networks of `keras.applications`, with random weights and realistic, randomised statistics."""

from __future__ import annotations

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import require_graph
from pruning.plan import PruningPlan
from pruning.proof.masking import Mask
from pruning.proof.random_inputs import random_inputs
from pruning.surgery.cutting import kept_channels

_SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}

_LAYERS_WITH_SCALES = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)


def architectures() -> list[str]:
    """Return the names of all constructors in `keras.applications`."""
    return sorted(name for name, value in vars(keras.applications).items() if name[0].isupper() and callable(value))


def smallest_size(name: str) -> int:
    """Return the smallest height and width that a network takes."""
    return _SMALLEST.get(name, 32)


def build(name: str, size: int | None = None) -> keras.Model:
    """Build a network with its classifier and random weights, for images of the given or its own default size."""
    if size is None and name.startswith("MobileNetV3"):
        size = 224  # Its own default is any size, at which nothing can be counted.
    options = {} if size is None else {"input_shape": (size, size, 3)}
    model: keras.Model = getattr(keras.applications, name)(weights=None, **options)
    return model


def randomise(model: keras.Model, plan: PruningPlan, seed: int = 0) -> None:
    """Give every bias and normalisation random parameters, and statistics near those that the model has once pruned.

    Zeros and ones would hide wrong slices. With statistics drawn blindly, or measured with all channels, the
    activations of deep networks would grow or fade from layer to layer: rounding or nothing would be compared.
    """
    generator = np.random.default_rng(seed)
    layers = model._flatten_layers(include_self=False)
    is_normalised = any(isinstance(layer, _LAYERS_WITH_SCALES) for layer in layers)
    for layer in layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(generator.normal(0, 0.1, layer.bias.shape))
            if not is_normalised:  # A ReLU halves the variance, and so does the prune.
                layer.kernel.assign(2 * layer.kernel)
        if isinstance(layer, _LAYERS_WITH_SCALES):
            if layer.gamma is not None:
                layer.gamma.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
            if layer.beta is not None:
                layer.beta.assign(generator.normal(0, 0.3, layer.beta.shape))
        elif type(layer).__name__ == "LayerScale":
            layer.gamma.assign(generator.uniform(0.1, 0.3, layer.gamma.shape))
    layers = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    if layers:
        _measure(model, layers, plan)
    for layer in layers:
        deviation = np.sqrt(keras.ops.convert_to_numpy(layer.moving_variance))
        layer.moving_mean.assign_add(generator.normal(0, 0.1, deviation.shape) * deviation)
        # Wider factors would let the activations of deep residual networks grow from block to block.
        layer.moving_variance.assign(deviation**2 * generator.uniform(0.8, 1.25, deviation.shape))


def _measure(model: keras.Model, layers: list[keras.layers.BatchNormalization], plan: PruningPlan) -> None:
    """Set the statistics to those of inputs as the proof draws them, without what the plan removes."""
    graph = ChannelGraph(model)
    masked = Mask.of(graph, graph.stays(kept_channels(graph, plan))).weights.values()
    wholes = [(variable, keras.ops.convert_to_numpy(variable)) for variable, _ in masked]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    for variable, value in masked:
        variable.assign(value)
    # Enough of them where little is left of the height and width of a small image.
    small = (require_graph(model).inputs[0].shape[1] or 128) <= 96
    model(random_inputs(model, "normal", num_samples=64 if small else 4, seed=1), training=True)
    for variable, value in wholes:
        variable.assign(value)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
