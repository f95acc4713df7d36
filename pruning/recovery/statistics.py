"""The moving statistics of BatchNormalization, measured anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import layers

from pruning.graph.program import Program
from pruning.keras_model.parts import layers_inside
from pruning.keras_model.weights import read_weights


def trained_normalizations(model: keras.Model) -> list[layers.BatchNormalization]:
    """Return the BatchNormalization layers whose statistics training would change, nested ones too."""
    return [layer for layer in layers_inside(model) if isinstance(layer, layers.BatchNormalization) and layer.trainable]


def refresh_statistics(
    model: keras.Model, normalizations: Sequence[layers.BatchNormalization], batches: Iterable[object]
) -> None:
    """Measure the statistics of some BatchNormalization layers anew, in place.

    After a prune they describe activations that are no more, and after a short training the moving averages have
    not caught up with the weights. Here they become the plain mean over all batches. Everything else runs in inference
    mode: dropout would change the variances.

    Source: Wu & Johnson 2021, Rethinking "Batch" in BatchNorm, arXiv:2105.07576, "precise BatchNorm".

    Args:
        model: A functional or Sequential model.
        normalizations: The layers that are measured.
        batches: Inputs of the model; no targets.
    """
    program = Program(model)
    measured = {id(layer) for layer in normalizations}
    training = {id(step.node.operation) for step in program.steps if measured & _parts(step.node.operation)}
    momenta = [layer.momentum for layer in normalizations]
    for index, inputs in enumerate(batches):
        for layer in normalizations:
            layer.momentum = index / (index + 1)  # The moving mean is the plain one of all batches so far.
        values = dict(zip(program.inputs, program.standardize(keras.tree.flatten(inputs)), strict=True))
        program.run(values, program.outputs, training=training)
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum


def statistics_of(normalizations: Sequence[layers.BatchNormalization]) -> list[np.ndarray]:
    """Return copies of the moving means and variances."""
    return [read_weights(variable).copy() for variable in _variables(normalizations)]


def restore_statistics(normalizations: Sequence[layers.BatchNormalization], statistics: Sequence[np.ndarray]) -> None:
    """Give back what `statistics_of` returned."""
    for variable, value in zip(_variables(normalizations), statistics, strict=True):
        variable.assign(value)


def _variables(normalizations: Sequence[layers.BatchNormalization]) -> list[keras.Variable]:
    return [variable for layer in normalizations for variable in (layer.moving_mean, layer.moving_variance)]


def _parts(operation: keras.Operation) -> set[int]:
    """Return the ids of a layer and of those that it holds."""
    return (
        {id(part) for part in [operation, *layers_inside(operation)]} if isinstance(operation, keras.Layer) else set()
    )
