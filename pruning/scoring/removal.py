"""How much the loss changes when a channel is removed: exactly, and much cheaper than one pass for each channel.

Removed means zeroed where it is read, as in the proof. Nothing that lies before the first place where a group's
channels are read depends on its masks: it is computed once. So is what the convolutions and dense layers there make of
all channels; from this, what they make of the one channel is taken away. What lies behind is run on many masks at once,
with all weights as constants, which the backend can fold.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pruning.criteria.base import Trials
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program, Tensors
from pruning.keras_model.parts import variables_of
from pruning.keras_model.tensors import BackendTensor
from pruning.keras_model.weights import read_weights
from pruning.scoring.batched import BatchedTrials
from pruning.scoring.calibration import Calibration, SampleLosses
from pruning.scoring.masked import MaskedTrials
from pruning.scoring.observation import Means, Measure, batch_size
from pruning.scoring.partition import Partition
from pruning.scoring.views import View, is_zeroed_in_tensors, views

_MASKS = 16
_CONSTANT_BYTES = 2**26


def measure_removals(
    graph: ChannelGraph, group: ChannelGroup, calibration: Calibration, measure: Measure
) -> np.ndarray:
    """Return the mean of a measure of how much each sample's loss grows without a channel, shape `(num_channels,)`.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    trials = removals(graph, group, calibration, calibration.num_samples)
    if isinstance(trials, UnreadTrials):
        return np.zeros(group.num_channels)
    none_and_each = np.roll(np.arange(group.num_channels + 1), 1)
    means = Means([group], calibration)
    for start in range(0, calibration.num_samples, trials.size):
        samples = np.arange(start, min(start + trials.size, calibration.num_samples))
        losses = trials.losses(none_and_each, samples)
        means.add(len(samples), [measure(losses[:, 1:] - losses[:, :1])])
    return means.result()[group.name]


def removals(
    graph: ChannelGraph, group: ChannelGroup, calibration: Calibration, most_samples: int
) -> PartitionTrials | MaskedTrials | UnreadTrials:
    """Return how to try out what the loss is without each channel of a group.

    Args:
        graph: The traced model.
        group: One of its groups.
        calibration: The samples and the loss.
        most_samples: How many samples are tried at once at most; fewer where no more fit.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    program = Program(graph.model)
    if not is_zeroed_in_tensors(graph, program, group):
        return MaskedTrials(graph, group, min(batch_size(program, calibration), most_samples), calibration)
    try:
        seen = views(graph, program, group)
    except CriterionError:
        seen = None  # Read inside a layer: only its weights can be masked.
    if seen == []:
        return UnreadTrials(calibration.num_samples)
    partition = Partition(program, seen)
    num_rows = calibration.batch_size or partition.num_rows
    size = min(num_rows, calibration.num_samples, most_samples)
    num_masks = max(1, min(num_rows // size, group.num_channels + 1, _MASKS)) if seen else 1
    return PartitionTrials(graph, group, calibration, program, partition, (size, num_masks))


class UnreadTrials(Trials):
    """The trials of channels that nothing reads: all losses are alike, and taken for 0."""

    def __init__(self, num_samples: int) -> None:
        self.num_samples = num_samples

    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        return np.zeros((len(samples), len(channels)))


class PartitionTrials(BatchedTrials):
    """The trials of channels that are zeroed in tensors, or in weights: a head run once, a tail for each channel.

    Every call of a compiled part sees the same shapes: samples and channels that are too few are filled up.

    Args:
        graph: The traced model.
        group: One of its groups.
        calibration: The samples and the loss.
        program: The model's steps.
        partition: Which of them depend on the channels.
        shape: Samples and channels of one call.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        group: ChannelGroup,
        calibration: Calibration,
        program: Program,
        partition: Partition,
        shape: tuple[int, int],
    ) -> None:
        size, self._num_masks = shape
        super().__init__(calibration, size)
        self._head = _Head(graph.model, program, partition)
        self._tail = _Tail(graph, group, program, partition, calibration.loss())
        for part in (self._head, self._tail):
            part.compile(jit_compile=keras.backend.backend() == "jax")

    def _batch(self, channels: np.ndarray, samples: np.ndarray, num_new: int) -> np.ndarray:
        x = tuple(array[samples] for array in self._calibration.x.values())
        tensors = tuple(ops.convert_to_tensor(each) for each in self._head.predict_on_batch(x))
        targets = tuple(ops.convert_to_tensor(array[samples]) for array in self._targets)
        losses, blocks = [], _blocks(channels, self._num_masks)
        for number, block in enumerate(blocks):
            rows = self._tail.predict_on_batch({"tensors": tensors, "targets": targets, "removed": block})
            losses.append(np.asarray(rows, dtype=np.float64).reshape(self._num_masks, self.size))
            self._tell(num_new, (number + 1) / len(blocks))
        return np.concatenate(losses)[: len(channels)].T


def _blocks(channels: np.ndarray, num_masks: int) -> np.ndarray:
    """Return the channel that each mask of each block removes, shape `(blocks, num_masks)`; the last is repeated."""
    places = np.minimum(np.arange(-(-len(channels) // num_masks) * num_masks), len(channels) - 1)
    blocks: np.ndarray = channels[places].astype(np.int32).reshape(-1, num_masks)
    return blocks


class _Head(keras.Model):
    """The model up to where the masks begin to matter."""

    def __init__(self, model: keras.Model, program: Program, partition: Partition) -> None:
        super().__init__(name="head")
        self.whole = model
        self._run = (program, partition)

    def call(self, inputs: object) -> list[BackendTensor]:
        program, partition = self._run
        values = dict(zip(program.inputs, program.standardize(inputs), strict=True))
        reads = [reader.read for reader in partition.readers]
        tensors = program.run(values, [*partition.between, *reads], partition.head)
        read = tensors[len(partition.between) :]
        return [*tensors, *(reader.whole(tensor) for reader, tensor in zip(partition.readers, read, strict=True))]


class _Tail(keras.Model):
    """The rest of the model on every mask and sample; its output is the loss of each pair, masks outermost."""

    def __init__(
        self, graph: ChannelGraph, group: ChannelGroup, program: Program, partition: Partition, loss: SampleLosses
    ) -> None:
        super().__init__(name="tail")
        self.whole = graph.model
        self._run = (program, partition, loss)
        self._num_channels = group.num_channels
        self._places = {(view.step, view.tensor): view for view in partition.seen or ()}
        self._axes = (
            []
            if partition.seen is not None
            else [
                (variables_of(axis.layer)[axis.variable_index], axis.axis, graph.rows(axis, group))
                for axis in graph.axes("in", group)
            ]
        )
        called = [program.steps[index].node.operation for index in partition.tail]
        called += [reader.layer for reader in partition.readers]
        by_id = {id(layer): layer for layer in called}
        variables = [variable for layer in by_id.values() for variable in getattr(layer, "variables", ())]
        small = sum(math.prod(variable.shape) * 4 for variable in variables) <= _CONSTANT_BYTES
        self._constants = [(variable, read_weights(variable)) for variable in variables] if small else []

    def call(self, inputs: dict[str, Any]) -> BackendTensor:
        program, partition, loss = self._run
        removed, tensors = inputs["removed"], list(inputs["tensors"])
        num_masks, num_samples = removed.shape[0], tensors[0].shape[0]
        values = {number: _tiled(tensors.pop(0), num_masks) for number in partition.between}
        reads, wholes = tensors[: len(partition.readers)], tensors[len(partition.readers) :]
        factors = ops.cast(removed[:, np.newaxis] != np.arange(self._num_channels), "float32")
        rows = ops.repeat(factors, num_samples, axis=0)
        targets = [_tiled(target, num_masks) for target in inputs["targets"]]

        def watch(index: int, tensors: Tensors) -> Tensors:
            return {
                number: _masked(tensor, rows, self._places[index, number])
                for number, tensor in tensors.items()
                if (index, number) in self._places
            }

        mapping = [(variable, ops.convert_to_tensor(value)) for variable, value in self._constants]
        mapping += self._masked_weights(factors[0], {id(variable): value for variable, value in mapping})
        with keras.StatelessScope(state_mapping=mapping) if mapping else contextlib.nullcontext():
            for reader, read, whole in zip(partition.readers, reads, wholes, strict=True):
                values[reader.made] = reader.without(read, whole, removed)
            return loss(targets, program.run(values, program.outputs, partition.tail, watch))

    def _masked_weights(self, factors: BackendTensor, values: Tensors) -> list[tuple[keras.Variable, BackendTensor]]:
        masked: dict[int, tuple[keras.Variable, BackendTensor]] = {}
        for variable, axis, rows in self._axes:
            _, value = masked.get(id(variable), (variable, values.get(id(variable), variable)))
            masked[id(variable)] = variable, value * _laid(factors[np.newaxis], rows, axis, value.shape)[0]
        return list(masked.values())


def _tiled(tensor: BackendTensor, times: int) -> BackendTensor:
    return tensor if times == 1 else ops.tile(tensor, (times, *(1 for _ in tensor.shape[1:])))


def _masked(tensor: BackendTensor, rows: BackendTensor, view: View) -> BackendTensor:
    laid = _laid(rows, view.positions, view.axis - 1, tensor.shape[1:])
    return tensor * ops.cast(laid, tensor.dtype)


def _laid(rows: BackendTensor, positions: np.ndarray, axis: int, shape: Sequence[int | None]) -> BackendTensor:
    """Return factors `(n, num_channels)` laid along an axis of `shape`, with 1 for what is no channel of the group."""
    size = shape[axis]
    assert size is not None
    num_channels, each = positions.shape
    source = np.full(size, num_channels)
    source[positions.reshape(-1)] = np.repeat(np.arange(num_channels), each)
    padded = ops.concatenate([rows, ops.ones_like(rows[:, :1])], axis=1)
    laid = [1] * len(shape)
    laid[axis] = size
    return ops.reshape(ops.take(padded, source, axis=1), (-1, *laid))
