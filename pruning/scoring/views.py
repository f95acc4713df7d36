"""Where in a model's tensors the channels of a group are read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.proof.reference import REDUCTIONS, REFERENCES
from pruning.rules.records import Place


@dataclass(frozen=True)
class View:
    """Where a group's channels lie in one tensor that goes into a step.

    Attributes:
        step: Index of the step.
        tensor: Number of the tensor.
        axis: The axis on which the channels lie, with the batch axis.
        positions: Where along it, shape `(num_channels, n)`.
    """

    step: int
    tensor: int
    axis: int
    positions: np.ndarray


Find = Callable[[ChannelGraph, Program, ChannelGroup], list[View]]
"""Says where a group's channels are seen."""


def views(graph: ChannelGraph, program: Program, group: ChannelGroup, *, unfolded: bool = False) -> list[View]:
    """Return where a group's channels are read: by weights, and by operations that add up products of several.

    Operations with statistics of several channels, such as a softmax, pass the channels on, and what reads them
    behind is what counts. Those that make one value of several only look at them.

    Args:
        graph: The traced model.
        program: Its steps.
        group: One of its groups.
        unfolded: Take each tensor as it was before it was only rearranged, so that maps are seen as maps.

    Raises:
        CriterionError: A layer reads them inside itself, where nothing can be seen.
    """
    found: dict[tuple[int, ...], View] = {}
    seen_in: set[int] = set()
    looks = (place for place in graph.records.looks if _zeroed(place) or (unfolded and _reduces(place)))
    for read in (*graph.records.places, *looks):
        place = read
        positions = graph.positions(place.labels, group)
        if positions.size == 0:
            continue
        seen_in.add(id(place.layer))
        if unfolded and place.origin is not None:
            place = place.origin
            positions = graph.positions(place.labels, group)
        index = program.index[id(place.layer), place.call]
        tensor = program.steps[index].inputs[place.position]
        # What is looked at counts once; what is masked has to be masked for each that reads it.
        key = (tensor, place.axis) if unfolded else (index, tensor, place.axis)
        found.setdefault(key, View(index, tensor, place.axis + 1, positions))
    for axis in graph.axes("in", group):
        if axis.inner or id(axis.layer) not in seen_in:
            raise unseen(graph, group, axis.layer, "are read inside")
    return list(found.values())


def gated_views(graph: ChannelGraph, program: Program, group: ChannelGroup) -> list[View]:
    """Return where factors on a group's channels stand for their removal.

    Raises:
        CriterionError: There are none, in some place.
    """
    for place in graph.records.looks:
        if graph.positions(place.labels, group).size and (_reduces(place) or _enters_twice(graph, program, place)):
            raise unseen(graph, group, place.layer, "are made one value by")
    return views(graph, program, group)


def unseen(graph: ChannelGraph, group: ChannelGroup, layer: keras.Operation, happens: str) -> CriterionError:
    """Return the error that says in which layer a group's channels are out of sight."""
    path = graph.records.layers[id(layer)][0]
    return CriterionError(
        f"The channels of group {group.name!r} {happens} layer {path!r}, where they cannot be seen.",
        field="pruning.criterion",
        expected="a criterion that looks at weights only, for this group",
        hint=f"Leave the group out with exclude: [{group.name!r}], or choose another criterion.",
    )


def _zeroed(place: Place) -> bool:
    """Tell whether a channel that is zeroed where it is looked at is not there for the proof."""
    return type(place.layer) not in REFERENCES


def _reduces(place: Place) -> bool:
    return type(place.layer) in REDUCTIONS


def _enters_twice(graph: ChannelGraph, program: Program, place: Place) -> bool:
    """Tell whether a tensor is looked at along one axis, and goes into the same call in another way as well."""
    inputs = program.steps[program.index[id(place.layer), place.call]].inputs
    if isinstance(place.layer, keras.layers.Attention) and len(inputs) == 2:
        inputs = (*inputs, inputs[1])  # Values that are the keys, too.
    alike = {
        other.position
        for other in graph.records.looks
        if other.layer is place.layer and other.call == place.call and other.axis == place.axis
    }
    return any(number == inputs[place.position] and position not in alike for position, number in enumerate(inputs))


def is_zeroed_in_tensors(graph: ChannelGraph, program: Program, group: ChannelGroup) -> bool:
    """Tell whether zeroing channels in what goes into steps, or in weights, is all that their removal is.

    Otherwise only the masked original of the proof says what is left: some are left out of statistics, some are read
    both inside layers and by operations, and masks of Keras's own, which go with tensors into nested models, are lost
    where a model is cut in two.
    """
    looks = [place for place in graph.records.looks if graph.positions(place.labels, group).size]
    inner = any(axis.inner for axis in graph.axes("in", group))
    entire = all(_zeroed(place) and not _enters_twice(graph, program, place) for place in looks)
    return entire and not (looks and inner) and not program.masks


def seen_groups(graph: ChannelGraph, program: Program, find: Find) -> list[tuple[ChannelGroup, list[View]]]:
    """Return the groups whose channels can be seen, and where."""
    found = []
    for group in graph.groups:
        with contextlib.suppress(CriterionError):  # Who asks for such a group is told why it has no figures.
            found.append((group, find(graph, program, group)))
    return found
