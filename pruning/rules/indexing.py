"""`keras.ops` that take some entries of a tensor, by slices, numbers or constant indices."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pruning.keras_model.operations import arrays
from pruning.rules.context import Context, LockedError, Rule, single
from pruning.rules.normalization import axes_of
from pruning.rules.records import Labels, Shape, Tensor


def get_item(context: Context, operation: arrays.GetItem, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`tensor[key]` with slices, numbers, `...` and new axes; slices of channels follow them."""
    tensor = single(inputs)
    name: str | int = 1 if 1 in context.arguments else "key"
    context.argument(name)
    entries = _one_for_each_axis(context.arguments[name], len(tensor.shape) + 1)
    if not isinstance(entries[0], slice):
        raise LockedError("it takes one sample of a batch, or puts an axis before it")
    varying = context.varying(tensor)
    vector = tensor.labels.reshape(1) if varying is None else context.along(tensor, varying)
    axis, sizes = 0, []
    for place, entry in enumerate(entries[1:], start=1):
        on_channels = entry is not None and axis == varying
        if on_channels:
            vector = _chosen(context, vector, entries, place, name)
        if entry is None or isinstance(entry, slice):
            sizes.append(len(vector) if on_channels else 1)
        axis += entry is not None
    return [vector.reshape(sizes)]


def _chosen(context: Context, labels: Labels, entries: list[Any], place: int, name: str | int) -> Labels:
    """Return the labels that an entry of a key chooses, and let it follow them."""
    entry = entries[place]
    if entry in (slice(None), slice(None, None, -1)):
        whole: Labels = labels[entry]
        return whole
    by_number = not isinstance(entry, slice)
    start, stop, step = (slice(entry, entry + 1 or None) if by_number else entry).indices(len(labels))
    chosen: Labels = labels[start:stop:step] if step > 0 else labels[entry]
    if step != 1:
        if step < 0 or len(labels) % step or start >= step or stop != len(labels):
            raise LockedError("it takes channels at intervals that would not fit those that are left")
        rows = labels.reshape(-1, step)
        context.tie(rows[:, :1], rows[:, 1:])
    context.span(chosen)
    if by_number:
        context.fix(chosen, f"{context.path} takes it by its number")

    def follow(value: object, stays: list[np.ndarray]) -> tuple[object, ...]:
        before, within = (int(np.count_nonzero(part)) for part in stays)
        changed = list(entries)
        changed[place] = before if by_number else slice(before, before + within)
        return tuple(changed)

    if step == 1:
        context.argument(name, follow, labels[:start], chosen)
    return chosen


def _one_for_each_axis(key: object, rank: int) -> list[Any]:
    """Return an entry for each axis of a tensor, and `None` for each new one.

    Raises:
        LockedError: An entry is an array or a tensor.
    """
    entries = list(key) if isinstance(key, tuple | list) else [key]
    if not all(entry is None or entry is Ellipsis or isinstance(entry, slice | int | np.integer) for entry in entries):
        raise LockedError("it is indexed by an array")
    missing = rank - sum(entry is not None and entry is not Ellipsis for entry in entries)
    rest = [slice(None)] * missing
    if not any(entry is Ellipsis for entry in entries):
        return entries + rest
    at = [entry is Ellipsis for entry in entries].index(True)
    return entries[:at] + rest + entries[at + 1 :]


def taken(context: Context, operation: arrays.Take, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`take` with constant indices; where they choose channels, they follow them."""
    tensor = single(inputs)
    name: str | int = 1 if 1 in context.arguments else "indices"
    indices = context.arguments[name]
    if operation.axis is None or isinstance(indices, keras.KerasTensor) or len(inputs) > 1:
        raise LockedError("it takes entries by indices that are computed, or from all axes")
    indices = np.asarray(indices)
    context.argument(name)
    axis = axes_of(operation.axis, len(tensor.shape))[0]
    if indices.ndim > 1:
        raise LockedError("it takes entries by an array of several axes")
    if context.varying(tensor) != axis:
        first = np.take(tensor.labels, [0] if indices.ndim else 0, axis=axis)
        return [first]
    labels = context.along(tensor, axis)
    chosen = labels[indices]
    context.span(np.atleast_1d(chosen))
    if indices.ndim == 0:
        context.fix(np.atleast_1d(chosen), f"{context.path} takes it by its number")

    def follow(value: object, stays: list[np.ndarray]) -> object:
        place = np.cumsum(stays[0]) - 1
        now = np.asarray(value) % len(stays[0])
        return place[now[stays[0][now]]] if now.ndim else int(place[now])

    context.argument(name, follow, labels)
    return [np.take(tensor.labels, indices, axis=axis)]


ROWS: dict[type, Rule] = {
    arrays.GetItem: get_item,
    arrays.Take: taken,
}
