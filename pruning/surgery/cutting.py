"""Model and plan → new model: rebuild the layers with smaller widths and cut every weight to fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import keras
import numpy as np

from pruning.errors import PlanError
from pruning.graph.fingerprint import fingerprint
from pruning.graph.groups import ChannelGraph, Keep
from pruning.keras_model.configs import Config
from pruning.plan import PruningPlan
from pruning.rules.records import Record
from pruning.surgery.rebuild import compile_like, rebuild

R = TypeVar("R", bound=Record)


def apply_plan(model: keras.Model, plan: PruningPlan) -> keras.Model:
    """Build the smaller model that a plan describes.

    The given model is not changed. Names, dtypes, regularisers, `trainable` flags and compile settings
    are kept. A compiled model comes back compiled: an optimizer that is built goes on where it was, its momenta and
    the like cut as the weights they belong to; one that is not stays so. Adafactor, which keeps averages over
    channels that are no more, starts afresh.

    Raises:
        PlanError: The plan was made for another architecture.
        ModelError: The model has no graph that can be traced, or a layer that cannot be made anew.
    """
    graph = ChannelGraph(model)
    return prune_channels(graph, graph.stays(kept_channels(graph, plan))).model


def kept_channels(graph: ChannelGraph, plan: PruningPlan) -> Keep:
    """Return what a plan keeps of a traced model.

    Raises:
        PlanError: The plan was made for another architecture.
    """
    if plan.fingerprint != fingerprint(graph):
        raise PlanError(
            "The plan was made for another architecture.",
            field="plan",
            received=f"a plan for fingerprint {plan.fingerprint[:12]}…",
            expected=f"a plan for fingerprint {fingerprint(graph)[:12]}…",
            hint="Replay a plan on the model it was made for, or on one retrained from it.",
        )
    known = {group.name: group.num_channels for group in graph.groups}
    if known != {group.name: group.num_channels for group in plan.groups}:
        raise PlanError(
            "The plan's channel groups are not those of the model.",
            field="plan.groups",
            received=", ".join(f"{group.name} ({group.num_channels})" for group in plan.groups),
            expected=", ".join(f"{name} ({count})" for name, count in known.items()),
            hint="Plans are not meant to be edited by hand.",
        )
    return {group.name: np.asarray(group.keep) for group in plan.groups}


def prune_channels(graph: ChannelGraph, stays: np.ndarray) -> ChannelGraph:
    """Build the model in which only these labels stay; `stays` has shape `(num_labels,)`.

    Returns:
        The channel graph of the new model, with the same channel groups as far as they stay.
    """
    widths, settings = _by_layer(graph.records.widths.values()), _by_layer(graph.records.settings.values())
    arguments, scales = _by_layer(graph.records.arguments.values()), _by_layer(graph.records.scales.values())

    def edit(layer: keras.Operation, config: Config) -> Config:
        for width in widths.get(id(layer), ()):
            count = int(np.count_nonzero(stays[width.labels]))
            if width.index is None:
                config[width.key] = count
            else:
                entries = list(config[width.key])
                entries[width.index] = count
                config[width.key] = tuple(entries)
        for setting in settings.get(id(layer), ()):
            key = str(setting.key)
            config[key] = setting.value(config[key], [stays[part] for part in setting.parts])
        if any(not stays[axis.labels].all() for axis in graph.axes_of(layer)):
            return {key: _of_any_shape(value) for key, value in config.items()}
        return config

    def scale(layer: keras.Operation, values: list[np.ndarray]) -> list[np.ndarray]:
        for each in scales.get(id(layer), ()):
            if not stays[each.labels].all():
                values[each.variable_index] = each.scaled(values[each.variable_index], stays)
        return values

    def cut(layer: keras.Operation, values: list[np.ndarray]) -> list[np.ndarray]:
        for axis in graph.axes_of(layer):
            kept = stays[axis.labels]
            if not kept.all():
                values[axis.variable_index] = np.compress(kept, values[axis.variable_index], axis=axis.axis)
        return values

    def call(operation: keras.Operation, args: tuple[object, ...], kwargs: Config) -> tuple[tuple[object, ...], Config]:
        changed: dict[str | int, object] = dict(enumerate(args)) | kwargs
        for argument in arguments.get(id(operation), ()):
            changed[argument.key] = argument.value(changed[argument.key], [stays[part] for part in argument.parts])
        return tuple(changed[position] for position in range(len(args))), {name: changed[name] for name in kwargs}

    rebuilt = rebuild(graph.model, edit, lambda layer, values: scale(layer, cut(layer, values)), call)
    compile_like(rebuilt, graph.model, cut)
    return ChannelGraph(rebuilt.model, graph.records.after(stays, rebuilt.copies))


def _by_layer(records: Iterable[R]) -> dict[int, list[R]]:
    found: dict[int, list[R]] = {}
    for record in records:
        found.setdefault(id(record.layer), []).append(record)
    return found


def _of_any_shape(value: object) -> object:
    """Replace an initializer that holds an array: it would not fit the cut weights when the file is loaded."""
    if isinstance(value, keras.initializers.Constant) and np.ndim(value.value) > 0:
        return keras.initializers.Zeros()
    return value
