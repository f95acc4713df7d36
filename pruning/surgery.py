"""Model and plan → new model: rebuild the layers with smaller widths and cut every weight to fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from pruning.graph.groups import ChannelGraph
from pruning.graph.models import functional_graph
from pruning.plan import PruningPlan
from pruning.selection import kept_channels
from pruning.weights import read_weights

Config = dict[str, Any]


def apply_plan(model: keras.Model, plan: PruningPlan) -> keras.Model:
    """Build the smaller model that a plan describes.

    The given model is not changed. Names, dtypes, regularisers, `trainable` flags and compile settings
    are kept; a compiled model comes back compiled with a fresh optimizer.

    Raises:
        PlanError: The plan was made for another architecture.
        ModelError: The model has no graph that can be traced.
    """
    graph = ChannelGraph(model)
    return prune_channels(graph, graph.stays(kept_channels(graph, plan)))


def prune_channels(graph: ChannelGraph, stays: np.ndarray) -> keras.Model:
    """Build the model in which only these labels stay; `stays` has shape `(num_labels,)`."""
    widths: dict[int, list[Any]] = {}
    for width in graph.records.widths.values():
        widths.setdefault(id(width.layer), []).append(width)

    def edit(layer: Any, config: Config) -> Config:
        for width in widths.get(id(layer), ()):
            count = int(np.count_nonzero(stays[width.labels]))
            if width.index is None:
                config[width.key] = count
            else:
                entries = list(config[width.key])
                entries[width.index] = count
                config[width.key] = tuple(entries)
        return config

    def cut(layer: Any, values: list[np.ndarray]) -> list[np.ndarray]:
        for axis in graph.axes_of(layer):
            kept = stays[axis.labels]
            if not kept.all():
                values[axis.variable_index] = np.compress(kept, values[axis.variable_index], axis=axis.axis)
        return values

    return rebuild(graph.model, edit, cut)


def mask_channels(graph: ChannelGraph, stays: np.ndarray) -> keras.Model:
    """Build a copy in which the channels that go are zeroed where they are read.

    This is the oracle of a prune: zeroing a channel where it is made would be wrong, because biases and
    offsets behind it leak.
    """

    def mask(layer: Any, values: list[np.ndarray]) -> list[np.ndarray]:
        for axis in graph.axes_of(layer):
            if axis.role == "in":
                value = values[axis.variable_index]
                shape = [1] * value.ndim
                shape[axis.axis] = -1
                values[axis.variable_index] = value * stays[axis.labels].reshape(shape).astype(value.dtype)
        return values

    return rebuild(graph.model, lambda layer, config: config, mask)


def rebuild(
    model: keras.Model,
    edit: Callable[[Any, Config], Config],
    change: Callable[[Any, list[np.ndarray]], list[np.ndarray]],
) -> keras.Model:
    """Rebuild a model layer by layer.

    Args:
        model: A functional or Sequential model; not changed.
        edit: `(layer, config) -> config` of its copy.
        change: `(layer, values) -> values` of the copy's variables, in the order of `layer.variables`.

    Returns:
        The new model. No initial values are drawn that would be overwritten.
    """
    copies: dict[int, Any] = {}
    with keras.StatelessScope():
        # Variables made in this scope get their value when it ends: the one set here, not a random one.
        copy = _copy(model, edit, copies)
        for original, layer_copy in copies.values():
            if functional_graph(original) is None:
                _fill(original, layer_copy, change)
    _restore_trainable(model, copies)
    if model.compiled:
        compile_like(copy, model)
    return copy


def _copy(operation: Any, edit: Callable[[Any, Config], Config], copies: dict[int, Any]) -> Any:
    if id(operation) in copies:
        return copies[id(operation)][1]
    graph = functional_graph(operation)
    if graph is None:
        made = type(operation).from_config(edit(operation, operation.get_config()))
    elif isinstance(operation, keras.Sequential):
        layers = [_copy(layer, edit, copies) for layer in operation._layers]
        made = type(operation)(layers, name=operation.name)
    else:
        inputs = keras.tree.map_structure(
            lambda tensor: _copy(tensor._keras_history.operation, edit, copies).output, operation._inputs_struct
        )
        outputs = operation._run_through_graph(inputs, operation_fn=lambda inner: _copy(inner, edit, copies))
        made = type(operation)(inputs, outputs, name=operation.name)
    copies[id(operation)] = (operation, made)
    return made


def _fill(original: Any, copy: Any, change: Callable[[Any, list[np.ndarray]], list[np.ndarray]]) -> None:
    variables = getattr(original, "variables", ())
    values = change(original, [read_weights(variable) for variable in variables])
    for variable, value in zip(getattr(copy, "variables", ()), values, strict=True):
        variable._initializer = _Value(value)


class _Value:
    """Initial value of a variable, in the form of an initializer."""

    def __init__(self, value: np.ndarray) -> None:
        self._value = value

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        return keras.ops.convert_to_tensor(self._value, dtype=dtype)


def _restore_trainable(model: keras.Model, copies: Mapping[int, Any]) -> None:
    """Set the flags from the outside in: setting a model's flag sets those of all its layers."""
    for original, copy in reversed(list(copies.values())):
        if isinstance(original, keras.Layer) and copy.trainable != original.trainable:
            copy.trainable = original.trainable


def compile_like(copy: keras.Model, model: keras.Model) -> None:
    """Compile a model as another one is compiled, with a fresh optimizer."""
    arguments = dict(model._compile_config.config)
    named = {item.__name__: item for item in keras.tree.flatten(arguments) if hasattr(item, "__name__")}
    with keras.utils.custom_object_scope(named):
        config = keras.saving.deserialize_keras_object(model.get_compile_config())
    copy.compile(**config)
