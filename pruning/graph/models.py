"""Keras's own record of a model's graph, read in one place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras.src.models.functional import Functional

from pruning.errors import ModelError


def functional_graph(operation: Any) -> Functional | None:
    """Return the functional graph that the operation runs, or `None` if it is not a model with one.

    A subclass that overrides `call` may run anything, so it has no graph that can be trusted.
    """
    if isinstance(operation, keras.Sequential):
        return operation._functional if type(operation).call is keras.Sequential.call else None
    if isinstance(operation, Functional):
        return operation if type(operation).call is Functional.call else None
    return None


def fits(graph: Functional, ranks: list[int]) -> bool:
    """Tell whether a nested model is called with tensors of the ranks it was built for, the batch axis counted."""
    return [len(symbol.shape) for symbol in graph.inputs] == ranks


def require_graph(model: Any) -> Functional:
    """Return the functional graph of a model.

    Raises:
        ModelError: The model is no Keras model, is not built, or is subclassed.
    """
    graph = functional_graph(model)
    if graph is not None:
        return graph
    if isinstance(model, keras.Sequential):
        raise ModelError(
            "The Sequential model is not built, so its shapes are not known.",
            field="model",
            hint="Start it with keras.Input(shape), or call it once on data.",
        )
    raise ModelError(
        "Only Sequential and functional models have a graph that can be pruned.",
        field="model",
        received=f"{type(model).__module__}.{type(model).__name__}",
        expected="keras.Sequential or a functional keras.Model",
        hint="Try pruning.as_functional(model), or rebuild a subclassed model as keras.Model(inputs, outputs).",
    )


def call_nodes(graph: Functional) -> Iterator[Any]:
    """Yield the graph's call nodes, each after the nodes that it depends on."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def inputs_by_name(model: Any) -> dict[str, Any]:
    """Return the model's input tensors by the names of their input layers."""
    graph = require_graph(model)
    names = _keys(graph._inputs_struct) or [tensor._keras_history.operation.name for tensor in graph.inputs]
    return dict(zip(names, graph.inputs, strict=True))


def outputs_by_name(model: Any) -> dict[str, Any]:
    """Return the model's output tensors by the names under which Keras takes their losses."""
    graph = require_graph(model)
    names = _keys(graph._outputs_struct) or list(graph.output_names)
    if len(set(names)) < len(names):
        raise ModelError(
            "Two outputs of the model come from one layer, so that targets cannot be told apart by name.",
            field="model",
            received=", ".join(names),
            expected="outputs of different names",
            hint="Pass one of them through keras.layers.Identity(name=...).",
        )
    return dict(zip(names, graph.outputs, strict=True))


def _keys(structure: Any) -> list[str] | None:
    """Return the names that a model gives its tensors itself, in the order in which Keras flattens them."""
    return sorted(structure) if isinstance(structure, dict) else None


def last_layer(tensor: Any) -> Any:
    """Return the layer that computes a tensor; inside a nested model, if that is what computes it."""
    history = tensor._keras_history
    graph = functional_graph(history.operation)
    return history.operation if graph is None else last_layer(graph.outputs[history.tensor_index])
