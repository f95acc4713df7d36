"""Watching a model's channels where they are read: their activations, and the loss's gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program, Tensors
from pruning.keras_model.tensors import BackendTensor
from pruning.scoring.calibration import Calibration, SampleLosses
from pruning.scoring.views import View, gated_views, seen_groups, views

Measure = Callable[[Any], Any]
Sums = dict[str, np.ndarray]
"""Group name → mean over the samples for each channel, shape `(num_channels,)`."""

_BATCH_BYTES = 2**28
_MAX_BATCH_SIZE = 256


def measure_activations(graph: ChannelGraph, calibration: Calibration, measure: Measure) -> Sums:
    """Return the mean of a measure of each group's activations, in one pass over the data.

    Channels that nothing reads have 0. Groups that are read where nothing can be seen are left out.
    """
    program = Program(graph.model)
    unread, visible = _parted(seen_groups(graph, program, partial(views, unfolded=True)))
    if not visible:
        return unread
    watched = _Activations(graph.model, program, [group_views for _, group_views in visible], measure)
    watched.compile(jit_compile=keras.backend.backend() == "jax")
    means = Means([group for group, _ in visible], calibration)
    for count, (x,) in calibration.batches(batch_size(program, calibration), calibration.x):
        means.add(count, watched.predict_on_batch(x))
    return unread | means.result()


def _parted(visible: list[tuple[ChannelGroup, list[View]]]) -> tuple[Sums, list[tuple[ChannelGroup, list[View]]]]:
    """Return zeros for the groups that nothing reads, and the others."""
    unread = {group.name: np.zeros(group.num_channels) for group, seen in visible if not seen}
    return unread, [(group, seen) for group, seen in visible if seen]


def measure_gradients(graph: ChannelGraph, calibration: Calibration, measure: Measure) -> Sums:
    """Return the mean of a measure of the derivatives of each sample's loss with respect to gates on the channels.

    Channels that nothing reads have 0. Groups that are read where nothing can be seen are left out.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    program = Program(graph.model)
    unread, visible = _parted(seen_groups(graph, program, gated_views))
    return unread | measure_gates(graph, program, visible, calibration, measure)


def measure_gates(
    graph: ChannelGraph,
    program: Program,
    gated_groups: list[tuple[ChannelGroup, list[View]]],
    calibration: Calibration,
    measure: Measure,
) -> Sums:
    """Return the mean of a measure of the derivatives of each sample's loss with respect to gates.

    Args:
        graph: The traced model.
        program: Its steps.
        gated_groups: For each gate the group, and where it lies; a group's gates are measured one by one and summed.
        calibration: The samples.
        measure: What is made of the derivatives.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    if not gated_groups:
        return {}
    means = Means([group for group, _ in gated_groups], calibration)
    for count, derivatives in _gate_derivatives(graph, program, gated_groups, calibration):
        means.add(count, [measure(each) for each in derivatives])
    return means.result()


def sample_gradients(graph: ChannelGraph, calibration: Calibration) -> Sums:
    """Return the derivatives of each sample's loss with respect to gates on the channels, shapes `(samples, channels)`.

    Groups that are read where nothing can be seen, or not at all, are left out.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    program = Program(graph.model)
    _, visible = _parted(seen_groups(graph, program, gated_views))
    if not visible:
        return {}
    batches = _gate_derivatives(graph, program, visible, calibration)
    by_batch = [[each[:count] for each in derivatives] for count, derivatives in batches]
    return {
        group.name: np.concatenate(each) for (group, _), each in zip(visible, zip(*by_batch, strict=True), strict=True)
    }


def _gate_derivatives(
    graph: ChannelGraph,
    program: Program,
    gated_groups: list[tuple[ChannelGroup, list[View]]],
    calibration: Calibration,
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield for each batch how many samples count, and for each gate the derivatives of their losses."""
    size = batch_size(program, calibration)
    gated = Gated(graph.model, program, gated_groups, size, calibration.loss())
    # Keras has no call for gradients, and each backend has its own; only a training step takes them on all alike. With
    # this rate, and gates that are 0, it leaves the negative gradients in them.
    gated.compile(
        keras.optimizers.SGD(1.0),
        loss=lambda target, losses: ops.sum(losses),
        jit_compile=keras.backend.backend() == "jax",
    )
    for count, (x, y) in calibration.batches(size, calibration.x, calibration.y):
        for gate in gated.gates:
            gate.assign(np.zeros(gate.shape))
        gated.train_on_batch({"x": tuple(x), "y": tuple(y)}, np.zeros(size))
        yield count, [-ops.convert_to_numpy(gate).astype(np.float64) for gate in gated.gates]


class Means:
    """Means over samples, group by group, summed in float64; figures of a group that comes twice are added.

    Attributes:
        num_samples: Samples that were added so far.
    """

    def __init__(self, groups: Sequence[ChannelGroup], calibration: Calibration) -> None:
        self._names = [group.name for group in groups]
        self._sums = {group.name: np.zeros(group.num_channels) for group in groups}
        self._calibration = calibration
        self.num_samples = 0

    def add(self, count: int, figures: Sequence[BackendTensor | np.ndarray]) -> None:
        """Add a batch, of which the first `count` samples count.

        Raises:
            CriterionError: There is not a figure for each sample and channel.
        """
        for name, each in zip(self._names, figures, strict=True):
            array, num_channels = np.asarray(each), len(self._sums[name])
            if array.ndim != 2 or array.shape[1] != num_channels or len(array) < count:
                raise CriterionError(
                    f"The criterion's measure has not one figure for each sample and channel of group {name!r}.",
                    field="pruning.criterion",
                    received=f"shape {array.shape}",
                    expected=f"shape (samples, {num_channels})",
                    hint="Take means over positions only; the mean over samples is taken by the library.",
                )
            self._sums[name] += array[:count].sum(axis=0, dtype=np.float64)
        self.num_samples += count
        self._calibration.on_share(self.num_samples / self._calibration.num_samples)

    def result(self) -> Sums:
        """Return the means."""
        return {name: total / self.num_samples for name, total in self._sums.items()}


class _Activations(keras.Model):
    """The model, with a measure of each group's channels as its outputs, each of shape `(samples, channels)`."""

    def __init__(self, model: keras.Model, program: Program, seen: list[list[View]], measure: Measure) -> None:
        super().__init__(name="activations")
        self.watched = model
        self._run = (program, seen, measure)

    def call(self, inputs: object) -> list[BackendTensor]:
        program, seen, measure = self._run
        figures: list[list[BackendTensor]] = [[] for _ in seen]

        def watch(index: int, tensors: Tensors) -> Tensors:
            for group, group_views in zip(figures, seen, strict=True):
                group.extend(measure(_maps(tensors[view.tensor], view)) for view in group_views if view.step == index)
            return {}

        values = dict(zip(program.inputs, program.standardize(inputs), strict=True))
        program.run(values, [], program.last_step(view.step for group in seen for view in group), watch)
        return [sum(group[1:], group[0]) / len(group) for group in figures]


def _maps(tensor: BackendTensor, view: View) -> BackendTensor:
    """Return a group's channels of a tensor on the last axis: `(samples, *positions, num_channels)`."""
    num_channels, each = view.positions.shape
    size = tensor.shape[view.axis]
    tensor = ops.moveaxis(tensor, view.axis, -1)
    if each == 1 and num_channels == size and np.array_equal(view.positions[:, 0], np.arange(size)):
        return tensor
    tensor = ops.take(tensor, view.positions.T.reshape(-1), axis=-1)
    shape = tuple(ops.shape(tensor))[:-1]
    return tensor if each == 1 else ops.reshape(tensor, (*shape, each, num_channels))


class Gated(keras.Model):
    """The model as a function of factors 1 + gate on its channels where they are read; its outputs are losses.

    Nothing but the gates can be trained.

    Args:
        model: The model.
        program: Its steps.
        visible: Groups, and where the gates on their channels lie; one gate for each entry.
        batch_size: Samples in a batch.
        loss: `(targets, outputs) -> loss of each sample`.

    Attributes:
        gates: For each entry one of shape `(batch_size, num_channels)`.
    """

    def __init__(
        self,
        model: keras.Model,
        program: Program,
        visible: list[tuple[ChannelGroup, list[View]]],
        batch_size: int,
        loss: SampleLosses,
    ) -> None:
        super().__init__()
        self.gated = model
        self.gates = [
            self.add_weight(shape=(batch_size, group.num_channels), initializer="zeros", name=f"gate_{number}")
            for number, (group, _) in enumerate(visible)
        ]
        self._run = (program, loss)
        self._seen: dict[tuple[int, int], list[tuple[int, View]]] = {}
        for number, (_, group_views) in enumerate(visible):
            for view in group_views:
                self._seen.setdefault((view.step, view.tensor), []).append((number, view))
        self.built = True

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """The gates."""
        return list(self.gates)

    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All of the model's own."""
        return list(self.gated.variables)

    non_trainable_weights = non_trainable_variables

    def call(self, inputs: dict[str, Sequence[BackendTensor]]) -> BackendTensor:
        program, loss = self._run
        values = dict(zip(program.inputs, program.standardize(inputs["x"]), strict=True))
        outputs = program.run(values, program.outputs, watch=self._watch)
        return loss(list(inputs["y"]), outputs)

    def _watch(self, index: int, tensors: Tensors) -> Tensors:
        return {
            number: self._through_gates(index, number, tensor)
            for number, tensor in tensors.items()
            if (index, number) in self._seen
        }

    def _through_gates(self, index: int, number: int, tensor: BackendTensor) -> BackendTensor:
        for axis, on_axis in _side_by_side(self._seen[index, number]):
            tensor = tensor * (1 + ops.cast(self._factors(tensor, axis, on_axis), tensor.dtype))
        return tensor

    def _factors(self, tensor: BackendTensor, axis: int, on_axis: list[tuple[int, View]]) -> BackendTensor:
        """Return the gates along an axis of a tensor, broadcastable to it; channels of no group have 0."""
        size = tensor.shape[axis]
        source = np.zeros(size, dtype=np.int64)  # Column 0 stands for no group.
        gates, width = [ops.zeros_like(self.gates[0][:, :1])], 1
        for group, view in on_axis:
            num_channels, each = view.positions.shape
            source[view.positions.reshape(-1)] = width + np.repeat(np.arange(num_channels), each)
            gates.append(self.gates[group] + 0)
            width += num_channels
        factors = ops.take(ops.concatenate(gates, axis=1), source, axis=1)
        shape = [1] * len(tensor.shape)
        shape[0], shape[axis] = self.gates[0].shape[0], size
        return ops.reshape(factors, shape)


def _side_by_side(seen: list[tuple[int, View]]) -> list[tuple[int, list[tuple[int, View]]]]:
    """Return the views of a tensor axis by axis; those that lie over each other on an axis come in turn."""
    rounds: list[tuple[int, list[tuple[int, View]]]] = []
    for gate, view in seen:
        for axis, there in rounds:
            if axis == view.axis and not any(np.isin(view.positions, other.positions).any() for _, other in there):
                there.append((gate, view))
                break
        else:
            rounds.append((view.axis, [(gate, view)]))
    return rounds


def batch_size(program: Program, calibration: Calibration) -> int:
    """Return how many samples' activations fit into the memory meant for them."""
    if calibration.batch_size is not None:
        return min(calibration.batch_size, calibration.num_samples)
    sizes = [
        math.prod(size or 1 for size in symbol.shape[1:]) for step in program.steps for symbol in step.node.outputs
    ]
    fitting = _BATCH_BYTES // (4 * max(sum(sizes), 1))
    return int(min(2 ** int(np.log2(np.clip(fitting, 1, _MAX_BATCH_SIZE))), calibration.num_samples))
