"""Channel groups: labels that live or die together, sorted by where they lie."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pruning.graph.trace import trace
from pruning.rules.context import Records, WeightAxis

Keep = Mapping[str, np.ndarray]
"""Group name → ascending indices of the channels that stay; a group not named stays whole."""


@dataclass(frozen=True)
class ChannelGroup:
    """Coupled channels that lie on the same set of weight axes.

    Attributes:
        name: Path of the first layer that makes the channels, made unique.
        layers: Paths of all layers that make them.
        channels: Channel numbers, in the order of their first label; index `i` of the group is `channels[i]`.
    """

    name: str
    layers: tuple[str, ...]
    channels: np.ndarray

    @property
    def num_channels(self) -> int:
        """How many channels the group has."""
        return len(self.channels)


class ChannelGraph:
    """A traced model: its channel groups and everything that is counted or cut with them.

    Args:
        model: A functional or Sequential model. It is read, never changed.
        records: What tracing it would say, if that is known already.

    Raises:
        ModelError: The model has no graph that can be traced.
    """

    def __init__(self, model: keras.Model, records: Records | None = None) -> None:
        self.model = model
        self.records = trace(model) if records is None else records
        self.channel_of, num_channels, self._reasons = _couple(self.records)
        self._class_of = _partition(self.records, self.channel_of, num_channels, self._reasons)
        self.groups: tuple[ChannelGroup, ...] = tuple(self._collect())
        self._position = np.full(num_channels, -1)
        for group in self.groups:
            self._position[group.channels] = np.arange(group.num_channels)

    def _collect(self) -> Iterator[ChannelGroup]:
        makers: dict[int, list[str]] = {}
        for axis in self.axes("out"):
            path = self.records.layers[id(axis.layer)][0]
            for number in np.unique(self._class_of[self.channel_of[axis.labels]]):
                if number >= 0 and path not in makers.setdefault(int(number), []):
                    makers[int(number)].append(path)
        names: dict[str, int] = {}
        for number, paths in makers.items():
            names[paths[0]] = names.get(paths[0], 0) + 1
            suffix = f"#{names[paths[0]]}" if names[paths[0]] > 1 else ""
            yield ChannelGroup(paths[0] + suffix, tuple(paths), np.flatnonzero(self._class_of == number))

    def axes(self, role: str | None = None) -> Iterator[WeightAxis]:
        """Yield the labelled weight axes, all or those of one role."""
        return (axis for axis in self.records.axes.values() if role in (None, axis.role))

    def rows(self, axis: WeightAxis, group: ChannelGroup) -> np.ndarray:
        """Return where the group's channels lie along a weight axis.

        Returns:
            Positions, shape `(num_channels, n)`, `n` for each channel; `n` is 0 if the group is not there.
        """
        channels = self.channel_of[axis.labels]
        here = np.flatnonzero(self._class_of[channels] == self._class_of[group.channels[0]])
        order = np.argsort(self._position[channels[here]], kind="stable")
        return here[order].reshape(group.num_channels, -1)

    def stays(self, keep: Keep) -> np.ndarray:
        """Return, for each label, whether it stays; shape `(num_labels,)`."""
        channel_stays = np.ones(len(self._class_of), dtype=bool)
        for group in self.groups:
            if group.name in keep:
                channel_stays[group.channels] = False
                channel_stays[group.channels[keep[group.name]]] = True
        return np.take(channel_stays, self.channel_of)

    @cached_property
    def locked(self) -> dict[str, str]:
        """Path of a layer → why none of the channels that it makes, or knows of, can go."""
        locked = dict(self.records.locked)
        for axis in self.axes("out"):
            path = self.records.layers[id(axis.layer)][0]
            channels = np.unique(self.channel_of[axis.labels])
            reasons = [self._reasons[channel] for channel in channels if channel in self._reasons]
            if reasons:
                locked.setdefault(path, reasons[0])
            elif len(channels) == 1:
                locked.setdefault(path, "it has one channel, or all its channels are coupled")
        return locked

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over layers, weight shapes and channel groups."""
        layers = [
            [path, type(layer).__name__, [list(weight.shape) for weight in getattr(layer, "weights", ())]]
            for path, layer in self.records.layers.values()
        ]
        groups = [[group.name, list(group.layers), group.num_channels] for group in self.groups]
        return hashlib.sha256(json.dumps([layers, groups]).encode()).hexdigest()

    def variable_shapes(self, layer: Any, stays: np.ndarray) -> list[tuple[int, ...]]:
        """Return the shapes that the layer's variables have when only these labels stay."""
        shapes = [list(variable.shape) for variable in layer.variables]
        for axis in self._axes_of.get(id(layer), ()):
            shapes[axis.variable_index][axis.axis] = int(np.count_nonzero(stays[axis.labels]))
        return [tuple(shape) for shape in shapes]

    @cached_property
    def _axes_of(self) -> dict[int, list[WeightAxis]]:
        axes_of: dict[int, list[WeightAxis]] = {}
        for axis in self.axes():
            axes_of.setdefault(id(axis.layer), []).append(axis)
        return axes_of

    def axes_of(self, layer: Any) -> list[WeightAxis]:
        """Return the labelled weight axes of one layer."""
        return self._axes_of.get(id(layer), [])

    def params(self, stays: np.ndarray) -> dict[str, int]:
        """Count the scalars in each layer's weights when only these labels stay."""
        counts: dict[str, int] = {}
        for path, layer in self.records.layers.values():
            weights = {id(weight) for weight in getattr(layer, "weights", ())}
            if weights:
                shapes = zip(layer.variables, self.variable_shapes(layer, stays), strict=True)
                counts[path] = sum(math.prod(shape) for variable, shape in shapes if id(variable) in weights)
        return counts

    def macs(self, stays: np.ndarray) -> dict[str, int | None]:
        """Count each layer's multiply-accumulates for one sample when only these labels stay.

        Counted are convolution and dense kernels; `None` where the spatial size is not known.
        """
        counts: dict[str, int | None] = {}
        for used in self.records.multiplications:
            path = self.records.layers[id(used.layer)][0]
            size = math.prod(self.variable_shapes(used.layer, stays)[used.variable_index])
            before = counts.get(path, 0)
            counts[path] = None if used.positions is None or before is None else before + used.positions * size
        return counts


def _couple(records: Records) -> tuple[np.ndarray, int, dict[int, str]]:
    """Return label → channel, the number of channels, and channel → why it must stay."""
    fixed = list(records.fixed)
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for first, second, path in records.ties:
        first, second = (side.reshape(-1) for side in np.broadcast_arrays(first, second))
        free = (first != 0) & (second != 0)
        firsts.append(first[free])
        seconds.append(second[free])
        lone = np.where(first == 0, second, first)[~free]
        if np.any(lone):
            fixed.append((lone, f"{path} joins it with channels that must stay"))
    rows, columns = np.concatenate(firsts), np.concatenate(seconds)
    size = records.num_labels
    matrix = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(size, size))
    num_channels, channel_of = connected_components(matrix, directed=False)
    reasons: dict[int, str] = {int(channel_of[0]): "fixed"}
    for labels, reason in fixed:
        for channel in np.unique(channel_of[np.unique(labels)]):
            reasons.setdefault(int(channel), reason)
    return channel_of, num_channels, reasons


def _partition(records: Records, channel_of: np.ndarray, num_channels: int, reasons: Mapping[int, str]) -> np.ndarray:
    """Return channel → class: equal for channels that lie, equally often, on the same axes; -1 for fixed ones.

    The partition is refined axis by axis: channels on an axis part from those that are not on it.
    """
    class_of = np.zeros(num_channels, dtype=np.int64)
    fixed = np.fromiter(reasons, dtype=np.int64)
    next_class = 1
    vectors = {id(labels): labels for labels in [axis.labels for axis in records.axes.values()] + records.spans}
    vectors |= {id(width.labels): width.labels for width in records.widths.values()}
    seen: set[bytes] = set()
    for labels in vectors.values():
        key = labels.tobytes()
        if key in seen:
            continue
        seen.add(key)
        channels, counts = np.unique(channel_of[labels], return_counts=True)
        old = np.stack([class_of[channels], counts], axis=1)
        _, new = np.unique(old, axis=0, return_inverse=True)
        class_of[channels] = next_class + new.reshape(-1)
        next_class += int(new.max()) + 1
    class_of[fixed] = -1
    return class_of
