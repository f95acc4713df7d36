"""The weights of a channel group, channels first: what makes them, scales them and reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import keras
import numpy as np
from keras import layers

from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.keras_model.parts import variables_of
from pruning.keras_model.weights import read_weights
from pruning.rules.records import WeightAxis


def filters(graph: ChannelGraph, group: ChannelGroup) -> list[np.ndarray]:
    """Return the filters of each layer that makes a group's channels, shapes `(num_channels, features)`.

    Only kernels count; a bias is no part of a filter.
    """
    return [_channels_first(graph, axis, group, _read(axis)) for axis in graph.axes("out", group)]


def coupled(graph: ChannelGraph, group: ChannelGroup) -> Iterator[np.ndarray]:
    """Yield all weights that go with a group's channels, shapes `(num_channels, features)`.

    These are the kernels that make the channels, those that read them, and the factors (gamma) of normalisations;
    a recurrent kernel does both and comes twice. Biases and offsets do not count.
    """
    for axis in graph.axes(group=group):
        if axis.role != "through":
            yield _channels_first(graph, axis, group, _read(axis))


def scales(graph: ChannelGraph, group: ChannelGroup) -> np.ndarray:
    """Return the factors by which normalisations scale a group's channels, shape `(num_channels, n)`."""
    parts = [np.zeros((group.num_channels, 0))]
    parts.extend(_channels_first(graph, axis, group, _read(axis)) for axis in graph.axes("scale", group))
    return np.concatenate(parts, axis=1)


def folded_filters(
    graph: ChannelGraph, group: ChannelGroup, normalised_by: Mapping[int, layers.BatchNormalization]
) -> Iterator[np.ndarray]:
    """Yield filters as `filters` does, each multiplied by what the normalisation behind its layer multiplies by.

    Args:
        graph: The traced model.
        group: One of its groups.
        normalised_by: What `normalisations_behind` returns for the graph.
    """
    for axis in graph.axes("out", group):
        weights, normalisation = _read(axis), normalised_by.get(id(axis.layer))
        if normalisation is not None and _same(graph, normalisation, axis):
            factors = inference_factors(normalisation)
            # A separable convolution, or heads of an EinsumDense, have axes that the normalisation does not see.
            if len(factors) == weights.shape[axis.axis]:
                shape = [1] * weights.ndim
                shape[axis.axis] = len(factors)
                weights = weights * factors.reshape(shape)
        yield _channels_first(graph, axis, group, weights)


def inference_factors(normalisation: layers.BatchNormalization) -> np.ndarray:
    """Return what a BatchNormalization multiplies its channels by in inference, shape `(channels,)`, float64."""
    variance = read_weights(normalisation.moving_variance).astype(np.float64)
    gamma = np.ones_like(variance) if normalisation.gamma is None else read_weights(normalisation.gamma)
    factors: np.ndarray = gamma / np.sqrt(variance + normalisation.epsilon)
    return factors


def normalisations_behind(graph: ChannelGraph) -> dict[int, layers.BatchNormalization]:
    """Return id of a layer → the BatchNormalization that takes what it makes, at every call, unseen by any other.

    Only then does folding one into the other change nothing; an activation of the layer's own stands between.
    """
    program = Program(graph.model)
    takers: dict[int, list[keras.Operation | None]] = {number: [None] for number in program.outputs}
    for step in program.steps:
        for number in step.inputs:
            takers.setdefault(number, []).append(step.node.operation)
    behind: dict[int, set[keras.Operation | None]] = {}
    for step in program.steps:
        layer = step.node.operation
        found = [taker for number in step.outputs for taker in takers.get(number, [None])]
        linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
        behind.setdefault(id(layer), set()).update(found if linear else [None])
    only = {key: next(iter(found)) for key, found in behind.items() if len(found) == 1}
    return {key: taker for key, taker in only.items() if type(taker) is layers.BatchNormalization}


def _same(graph: ChannelGraph, normalisation: layers.BatchNormalization, axis: WeightAxis) -> bool:
    """Tell whether a normalisation has the channels of a weight axis, in the same order."""
    return any(
        len(other.labels) == len(axis.labels)
        and np.array_equal(graph.channel_of[other.labels], graph.channel_of[axis.labels])
        for other in graph.axes_of(normalisation)
    )


def _read(axis: WeightAxis) -> np.ndarray:
    return read_weights(variables_of(axis.layer)[axis.variable_index])


def _channels_first(graph: ChannelGraph, axis: WeightAxis, group: ChannelGroup, weights: np.ndarray) -> np.ndarray:
    weights = np.moveaxis(weights, axis.axis, -1)
    weights = weights.reshape(-1, weights.shape[-1]).T
    rows = graph.rows(axis, group)
    whole = rows.size == len(weights) and np.array_equal(rows.reshape(-1), np.arange(len(weights)))
    oriented: np.ndarray = (weights if whole else weights[rows]).reshape(group.num_channels, -1)
    return oriented
