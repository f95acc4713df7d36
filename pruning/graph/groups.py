"""Channel groups: labels that live or die together, sorted by where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pruning.graph.trace import trace
from pruning.rules.records import Labels, Records, WeightAxis

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
        self._axes_on = self._index()
        self._groups_on: dict[int, tuple[ChannelGroup, ...]] = {}  # Most axes share their labels with others.
        self.groups: tuple[ChannelGroup, ...] = tuple(self._collect())
        self._position = np.full(num_channels, -1)
        self._group_of = np.zeros(num_channels, dtype=np.int64)  # 0: of no group
        for number, group in enumerate(self.groups, start=1):
            self._position[group.channels] = np.arange(group.num_channels)
            self._group_of[group.channels] = number

    def _index(self) -> dict[int, list[WeightAxis]]:
        """Return class → the weight axes on which its channels lie."""
        axes_on: dict[int, list[WeightAxis]] = {}
        classes: dict[int, list[int]] = {}  # Most axes share their labels with others.
        for axis in self.axes():
            key = id(axis.labels)
            if key not in classes:
                present = np.bincount(self._class_of[self.channel_of[axis.labels]] + 1)  # From class -1 on.
                classes[key] = (np.flatnonzero(present) - 1).tolist()
            for number in classes[key]:
                axes_on.setdefault(number, []).append(axis)
        return axes_on

    def _collect(self) -> Iterator[ChannelGroup]:
        by_class = np.argsort(self._class_of, kind="stable")
        ends = np.cumsum(np.bincount(self._class_of + 1))  # From class -1 on.
        names: dict[str, int] = {}
        for number, axes in self._axes_on.items():
            paths = tuple(dict.fromkeys(self.records.layers[id(axis.layer)][0] for axis in axes if axis.role == "out"))
            if number >= 0 and paths:
                names[paths[0]] = names.get(paths[0], 0) + 1
                suffix = f"#{names[paths[0]]}" if names[paths[0]] > 1 else ""
                yield ChannelGroup(paths[0] + suffix, paths, by_class[ends[number] : ends[number + 1]])

    def axes(self, role: str | None = None, group: ChannelGroup | None = None) -> Iterator[WeightAxis]:
        """Yield the labelled weight axes: all, those of one role, those on which a group's channels lie."""
        axes = self.records.axes.values() if group is None else self._axes_on[int(self._class_of[group.channels[0]])]
        return (axis for axis in axes if role in (None, axis.role))

    def rows(self, axis: WeightAxis, group: ChannelGroup) -> np.ndarray:
        """Return where the group's channels lie along a weight axis.

        Returns:
            Positions, shape `(num_channels, n)`, `n` for each channel; `n` is 0 if the group is not there.
        """
        return self.positions(axis.labels, group)

    def positions(self, labels: Labels, group: ChannelGroup) -> np.ndarray:
        """Return where the group's channels lie among labels of shape `(n,)`; the result is that of `rows`."""
        channels = self.channel_of[labels]
        here = np.flatnonzero(self._class_of[channels] == self._class_of[group.channels[0]])
        order = np.argsort(self._position[channels[here]], kind="stable")
        return here[order].reshape(group.num_channels, -1)

    def multiplicities(self, labels: np.ndarray) -> np.ndarray:
        """Return how a weight axis is made up: channels that always stay, then of each group how often each channel.

        The axis has the size `m[0] + m[1:] @ widths` when the groups have these widths.

        Args:
            labels: Of a weight axis, shape `(axis size,)`.

        Returns:
            Counts, shape `(1 + num_groups,)`.
        """
        counts = np.bincount(self._group_of[self.channel_of[labels]], minlength=1 + len(self.groups))
        counts[1:] //= self.widths
        return counts

    @cached_property
    def widths(self) -> np.ndarray:
        """Channels of each group, in the order of `groups`, shape `(num_groups,)`."""
        return np.array([group.num_channels for group in self.groups], dtype=np.int64)

    def widths_with(self, keep: Keep) -> np.ndarray:
        """Return the channels of each group of which only some stay, shape `(num_groups,)`."""
        return np.array([len(keep.get(group.name, group.channels)) for group in self.groups], dtype=np.int64)

    def groups_on(self, axis: WeightAxis) -> tuple[ChannelGroup, ...]:
        """Return the groups with channels on a weight axis, in the order of `groups`."""
        key = id(axis.labels)
        if key not in self._groups_on:
            numbers = np.unique(self._group_of[self.channel_of[axis.labels]])
            self._groups_on[key] = tuple(self.groups[number - 1] for number in numbers if number > 0)
        return self._groups_on[key]

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
            channels = self.channel_of[axis.labels]
            fixed = channels[self._class_of[channels] < 0]
            if len(fixed):
                locked.setdefault(path, self._reasons[int(fixed.min())])
            elif len(channels) and np.all(channels == channels[0]):
                locked.setdefault(path, self._why_one(axis))
        return locked

    def _why_one(self, axis: WeightAxis) -> str:
        """Say why the channels that a layer makes cannot go one by one."""
        if axis.labels.size == 1:
            return "it has one channel"
        channel = self.channel_of[axis.labels][0]
        others = [
            self.records.layers[id(other.layer)][0]
            for other in self.axes()
            if other.layer is not axis.layer and channel in self.channel_of[other.labels]
        ]
        through = ", ".join(dict.fromkeys(others)) or "the model"
        return f"all its {axis.labels.size} channels are one, coupled through {through}"

    def can_shrink(self, axis: WeightAxis) -> bool:
        """Tell whether channels on a weight axis lie in a group that has some to lose."""
        return bool(np.any(self._wide[self.channel_of[axis.labels]]))

    @cached_property
    def _wide(self) -> np.ndarray:
        wide = np.zeros(len(self._class_of), dtype=bool)
        for group in self.groups:
            wide[group.channels] = group.num_channels > 1
        return wide

    @cached_property
    def _axes_of(self) -> dict[int, list[WeightAxis]]:
        axes_of: dict[int, list[WeightAxis]] = {}
        for axis in self.axes():
            axes_of.setdefault(id(axis.layer), []).append(axis)
        return axes_of

    def axes_of(self, layer: keras.Operation) -> list[WeightAxis]:
        """Return the labelled weight axes of one layer."""
        return self._axes_of.get(id(layer), [])


def _couple(records: Records) -> tuple[np.ndarray, int, dict[int, str]]:
    """Return label → channel, the number of channels, and channel → why it must stay."""
    fixed = list(records.fixed)
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for first, second, path in records.ties:
        if first.shape != second.shape:
            first, second = np.broadcast_arrays(first, second)
        first, second = first.reshape(-1), second.reshape(-1)
        free = (first != 0) & (second != 0)
        firsts.append(first[free])
        seconds.append(second[free])
        if not free.all():
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
        if key in seen or not labels.size:
            continue
        seen.add(key)
        channels, counts = _counted(channel_of[labels])
        old = class_of[channels] * (len(labels) + 1) + counts
        if np.all(old == old[0]):  # What np.unique would say, sooner.
            class_of[channels] = next_class
            next_class += 1
        else:
            parts, new = np.unique(old, return_inverse=True)
            class_of[channels] = next_class + new
            next_class += len(parts)
    class_of[fixed] = -1
    return class_of


def _counted(channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different channels, ascending, and how often each is there."""
    if np.all(channels[1:] > channels[:-1]):  # What np.unique would say, sooner.
        return channels, np.ones(len(channels), dtype=np.int64)
    return np.unique(channels, return_counts=True)
