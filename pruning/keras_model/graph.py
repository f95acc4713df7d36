"""The graph of a model: Keras's own record of it, and how it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.models.functional import Functional as Functional
from keras.src.models.functional import operation_fn
from keras.src.models.functional import unpack_singleton as unpack_singleton
from keras.src.ops.node import KerasHistory
from keras.src.ops.node import Node as Node

from pruning.errors import ModelError
from pruning.keras_model.tensors import BackendTensor


def functional_graph(operation: object) -> Functional | None:
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


def require_graph(model: object) -> Functional:
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


def call_nodes(graph: Functional) -> Iterator[Node]:
    """Yield the graph's call nodes, each after the nodes that it depends on."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def producer(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the layer or operation whose call makes a symbolic tensor."""
    operation: keras.Operation = _history(tensor).operation
    return operation


def _history(tensor: keras.KerasTensor) -> KerasHistory:
    history: KerasHistory = vars(tensor)["_keras_history"]  # Its class does not know it.
    return history


def sequence(model: keras.Sequential) -> list[keras.Layer]:
    """Return the layers of a Sequential model, the one for its input among them."""
    return list(model._layers)


def structures(model: keras.Model) -> tuple[object, object]:
    """Return the model's symbolic inputs and outputs as it takes and gives them: single ones, lists or dicts."""
    graph = require_graph(model)
    return graph._inputs_struct, graph._outputs_struct


def fixed_batch_size(model: keras.Model) -> int | None:
    """Return how many samples a model takes at once, if it takes no other number."""
    size: int | None = require_graph(model).inputs[0].shape[0]
    return size


def pack_inputs(model: keras.Model, values: object) -> Any:
    """Return values, in the order of the model's inputs, in the structure that the model takes."""
    return keras.tree.pack_sequence_as(require_graph(model)._inputs_struct, values)


def pack_outputs(model: keras.Model, values: object) -> Any:
    """Return values, in the order of the model's outputs, in the structure that the model gives."""
    return keras.tree.pack_sequence_as(require_graph(model)._outputs_struct, values)


def standardize_inputs(graph: Functional, inputs: object) -> list[BackendTensor]:
    """Return inputs, given in the model's structure, as a list of tensors such as its layers expect."""
    standardized: list[BackendTensor] = graph._standardize_inputs(inputs)
    return standardized


def run_graph(graph: Functional, tensors: object, call_of: Callable[[keras.Operation], Callable[..., object]]) -> Any:
    """Run a graph with `call_of(operation)` in the place of each of its layers and operations."""
    return graph._run_through_graph(tensors, operation_fn=call_of)


def call_in_mode(operation: keras.Operation, *, training: bool) -> Callable[..., Any]:
    """Return the call of a layer or operation, in training or inference mode where that is one of its arguments."""
    call: Callable[..., Any] = operation_fn(operation, training=training)
    return call


def takes_training(layer: keras.Layer) -> bool:
    """Tell whether a layer's call has the argument `training`."""
    return bool(layer._call_has_training_arg)


def takes_mask(operation: keras.Operation) -> bool:
    """Tell whether the call of a layer or operation has the argument `mask`."""
    return bool(getattr(operation, "_call_has_mask_arg", False))


def built_shapes(model: keras.Model) -> dict[str, object] | None:
    """Return the shapes that a model was built for, by the arguments of its call; `None` if it is not built."""
    shapes: dict[str, object] | None = getattr(model, "_build_shapes_dict", None)
    return shapes if model.built and shapes else None


def inputs_by_name(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Return the model's input tensors by the names of their input layers."""
    graph = require_graph(model)
    names = _keys(graph._inputs_struct) or [producer(tensor).name for tensor in graph.inputs]
    return dict(zip(names, graph.inputs, strict=True))


def outputs_by_name(model: keras.Model) -> dict[str, keras.KerasTensor]:
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


def _keys(structure: object) -> list[str] | None:
    """Return the names that a model gives its tensors itself, in the order in which Keras flattens them."""
    return sorted(structure) if isinstance(structure, dict) else None


def last_layer(tensor: keras.KerasTensor) -> keras.Operation:
    """Return the layer that computes a tensor; inside a nested model, if that is what computes it."""
    graph = functional_graph(producer(tensor))
    return producer(tensor) if graph is None else last_layer(graph.outputs[_history(tensor).tensor_index])
