"""Layers that hold other layers: which ones, and which variables are whose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
from keras import layers
from keras.src.backend.common.variables import Variable

PARTS: dict[type, dict[str, str]] = {
    layers.TimeDistributed: {"layer": "layer"},
    layers.SpectralNormalization: {"layer": "layer"},
    layers.Bidirectional: {"layer": "forward_layer", "backward_layer": "backward_layer"},
    layers.RNN: {"cell": "cell"},
    layers.StackedRNNCells: {"cells": "cells"},
}
"""Class of a wrapper → argument of its constructor → attribute that holds the wrapped layer, or a list of them.

Lookup is by exact class: what a subclass does with its layers is not known.
"""


def parts_of(layer: object) -> list[keras.Layer]:
    """Return the layers that a wrapper holds, each of which is followed, copied and cut by itself."""
    attributes = PARTS.get(type(layer), {}).values()
    return [part for attribute in attributes for part in keras.tree.flatten(getattr(layer, attribute))]


def layers_inside(layer: keras.Layer) -> list[keras.Layer]:
    """Return all layers inside a layer or model, at any depth, without itself."""
    return list(layer._flatten_layers(include_self=False))


def stateful_layers(model: keras.Layer) -> list[layers.RNN]:
    """Return the recurrent layers that keep their states from batch to batch."""
    return [each for each in layers_inside(model) if isinstance(each, layers.RNN) and each.stateful]


@contextmanager
def without_states(stateful: Iterable[layers.RNN]) -> Iterator[None]:
    """Let layers that keep states from batch to batch begin anew with each, in any size, and keep none for a while."""
    kept = list(stateful)
    for layer in kept:
        layer.stateful = False
    try:
        yield
    finally:
        for layer in kept:
            layer.stateful = True


class Projections(NamedTuple):
    """The Dense layers of an attention layer."""

    query: layers.EinsumDense
    key: layers.EinsumDense
    value: layers.EinsumDense
    output: layers.EinsumDense
    gate: layers.EinsumDense | None


def projections_of(layer: layers.MultiHeadAttention | layers.GroupQueryAttention) -> Projections:
    """Return the Dense layers of a `MultiHeadAttention` or `GroupQueryAttention`, where all are `EinsumDense`."""
    return Projections(
        layer._query_dense,
        layer._key_dense,
        layer._value_dense,
        layer._output_dense,
        getattr(layer, "_gate_dense", None),
    )


def weights_of(layer: keras.Operation) -> list[keras.Variable]:
    """Return the weights that are the layer's own, not those of a layer that it holds."""
    return _own(layer, getattr(layer, "weights", ()))


def variables_of(layer: keras.Operation) -> list[keras.Variable]:
    """Return the variables that are the layer's own, and behind them the states of a stateful recurrent layer.

    Keras does not count such states as variables, but the layer's next output depends on them.
    """
    own = _own(layer, getattr(layer, "variables", ()))
    states = getattr(layer, "states", None) if isinstance(layer, layers.RNN) else None
    return [*own, *keras.tree.flatten(states)] if states else own


class VariableShape(NamedTuple):
    """Shape of a variable, and whether it is a weight."""

    shape: tuple[int, ...]
    is_weight: bool


def variable_shapes(layer: keras.Operation) -> list[VariableShape]:
    """Return what is counted of each of `variables_of(layer)`."""
    variables = variables_of(layer)
    if not variables:
        return []
    weights = {id(weight) for weight in weights_of(layer)}
    return [VariableShape(_shape_of(variable), id(variable) in weights) for variable in variables]


def _shape_of(variable: keras.Variable) -> tuple[int, ...]:
    """Return the shape as Keras holds it; TensorFlow's own, which its variables show instead, takes much longer."""
    return tuple(variable._shape if isinstance(variable, Variable) else variable.shape)


def _own(layer: keras.Operation, variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    if type(layer) not in PARTS:
        return list(variables)
    held = {id(variable) for part in parts_of(layer) for variable in part.variables}
    return [variable for variable in variables if id(variable) not in held]


def assemble(
    wrapper: keras.Operation, config: dict[str, Any], copy_of: Callable[[keras.Layer], keras.Layer]
) -> tuple[keras.Operation, dict[int, keras.Layer]]:
    """Make a wrapper anew around copies of the layers that it holds.

    Returns:
        The new wrapper, and id of each wrapped layer → its copy as the new wrapper holds it.
    """
    attributes = PARTS[type(wrapper)]
    held = {key: keras.tree.map_structure(copy_of, getattr(wrapper, name)) for key, name in attributes.items()}
    copy = type(wrapper)(**{**config, **held})
    # Bidirectional holds a copy of the layer that it is given, not that layer itself.
    return copy, {id(part): part_copy for part, part_copy in zip(parts_of(wrapper), parts_of(copy), strict=True)}
