"""Gates on the members of a group: the layers that make, normalise or read its channels, each by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.rules.context import channel_axis
from pruning.rules.normalization import axes_of
from pruning.rules.records import WeightAxis
from pruning.scoring.calibration import Calibration
from pruning.scoring.observation import Measure, Sums, measure_gates
from pruning.scoring.views import View, unseen, views

_MADE_ALONG: dict[type, Callable[[Any, int], int]] = {
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense), channel_axis),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), channel_axis),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D, layers.Embedding), channel_axis),
    layers.BatchNormalization: lambda layer, rank: axes_of(layer.axis, rank)[0],
}
"""Class of a layer → `(layer, rank without the batch axis) -> axis` of its output on which its channels lie.

A factor on a channel there is one on all weights that make it, offsets included, if the layer has no activation of its
own, or a ReLU.
"""


def measure_members(graph: ChannelGraph, calibration: Calibration, measure: Measure) -> Sums:
    """Return the means of a measure of what each layer's weights do to the loss, summed over the layers of a group.

    Measured is the derivative of each sample's loss with respect to a factor on all of a layer's weights for the
    channel, which is the sum of weight times gradient.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    program = Program(graph.model)
    nothing: Sums = {}
    gated: list[tuple[ChannelGroup, list[View]]] = []
    for group in graph.groups:
        with contextlib.suppress(CriterionError):  # Who asks for such a group is told why it has no figures.
            members = member_views(graph, program, group)
            nothing[group.name] = np.zeros(group.num_channels)
            gated.extend((group, seen) for seen in members)
    return nothing | measure_gates(graph, program, gated, calibration, measure)


def member_views(graph: ChannelGraph, program: Program, group: ChannelGroup) -> list[list[View]]:
    """Return for each layer of a group where a factor on a channel stands for one on the layer's weights for it.

    Raises:
        CriterionError: A layer makes or reads them inside itself, where nothing can be seen.
    """
    reading = {id(axis.layer) for axis in graph.axes("in", group)}
    members: dict[int, list[View]] = {}
    for view in views(graph, program, group):
        layer = program.steps[view.step].node.operation
        if id(layer) in reading:
            members.setdefault(id(layer), []).append(view)
    made = [_made(graph, program, group, axis) for axis in graph.axes(group=group) if axis.role in ("out", "scale")]
    return [*members.values(), *(seen for seen in made if seen)]


def _made(graph: ChannelGraph, program: Program, group: ChannelGroup, axis: WeightAxis) -> list[View]:
    """Return the views of what a layer makes, at each of its calls, in all that takes it."""
    made = {
        step.outputs[0]: len(step.node.outputs[0].shape) - 1
        for step in program.steps
        if step.node.operation is axis.layer
    }
    if type(axis.layer) not in _MADE_ALONG or not made:
        raise unseen(graph, group, axis.layer, "are made inside")
    positions = graph.positions(axis.labels, group)
    return [
        View(index, number, 1 + _MADE_ALONG[type(axis.layer)](axis.layer, made[number]), positions)
        for index, step in enumerate(program.steps)
        for number in dict.fromkeys(step.inputs)
        if number in made
    ]
