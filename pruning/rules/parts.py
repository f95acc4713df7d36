"""Layers that hold other layers: which ones, and which variables are whose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
from keras import layers

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


def parts_of(layer: Any) -> list[Any]:
    """Return the layers that a wrapper holds, each of which is followed, copied and cut by itself."""
    attributes = PARTS.get(type(layer), {}).values()
    return [part for attribute in attributes for part in keras.tree.flatten(getattr(layer, attribute))]


def weights_of(layer: Any) -> list[Any]:
    """Return the weights that are the layer's own, not those of a layer that it holds."""
    return _own(layer, getattr(layer, "weights", ()))


def variables_of(layer: Any) -> list[Any]:
    """Return the variables that are the layer's own, and behind them the states of a stateful recurrent layer.

    Keras does not count such states as variables, but the layer's next output depends on them.
    """
    own = _own(layer, getattr(layer, "variables", ()))
    states = getattr(layer, "states", None) if isinstance(layer, layers.RNN) else None
    return [*own, *keras.tree.flatten(states)] if states else own


class VariableShape(NamedTuple):
    """Shape of a variable, whether it is a weight, and the bytes of one entry."""

    shape: tuple[int, ...]
    is_weight: bool
    item_bytes: int


def variable_shapes(layer: Any) -> list[VariableShape]:
    """Return what is counted of each of `variables_of(layer)`; Keras is slow to say."""
    weights = {id(weight) for weight in weights_of(layer)}
    return [
        VariableShape(tuple(variable.shape), id(variable) in weights, _item_bytes(variable.dtype))
        for variable in variables_of(layer)
    ]


def _item_bytes(dtype: Any) -> int:
    """Return the bytes of one entry from the number of bits in a name such as `bfloat16`."""
    bits = re.search(r"\d+", str(dtype))
    return 1 if bits is None else max(1, int(bits.group()) // 8)


def _own(layer: Any, variables: Iterable[Any]) -> list[Any]:
    if type(layer) not in PARTS:
        return list(variables)
    held = {id(variable) for part in parts_of(layer) for variable in part.variables}
    return [variable for variable in variables if id(variable) not in held]


def assemble(wrapper: Any, config: dict[str, Any], copy_of: Callable[[Any], Any]) -> tuple[Any, dict[int, Any]]:
    """Make a wrapper anew around copies of the layers that it holds.

    Returns:
        The new wrapper, and id of each wrapped layer → its copy as the new wrapper holds it.
    """
    attributes = PARTS[type(wrapper)]
    held = {key: keras.tree.map_structure(copy_of, getattr(wrapper, name)) for key, name in attributes.items()}
    copy = type(wrapper)(**{**config, **held})
    # Bidirectional holds a copy of the layer that it is given, not that layer itself.
    return copy, {id(part): part_copy for part, part_copy in zip(parts_of(wrapper), parts_of(copy), strict=True)}
