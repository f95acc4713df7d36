"""How much the loss grows when several channels of a group go at once: by masks, without a new model or compiling.

Each batch goes through the whole model once. What a group's channels change is run again for each set of them that is
to go, from the first place where they are read on, in inference mode: BatchNormalization keeps its statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program, Tensors
from pruning.keras_model.graph import pack_inputs
from pruning.keras_model.tensors import BackendTensor
from pruning.proof.masking import Mask, run
from pruning.scoring.calibration import Calibration, SampleLosses
from pruning.scoring.observation import batch_size
from pruning.scoring.partition import Partition
from pruning.scoring.views import View, is_zeroed_in_tensors, views


@dataclass(frozen=True)
class _Group:
    """The sets of channels of one group that are tried.

    Attributes:
        group: The group.
        stays: For each case whether each channel stays, shape `(num_cases, num_channels)`.
        partition: What depends on the channels; `None` where only the masked original can be without them.
    """

    group: ChannelGroup
    stays: np.ndarray
    partition: Partition | None

    @classmethod
    def of(cls, graph: ChannelGraph, program: Program, group: ChannelGroup, keeps: Sequence[np.ndarray]) -> _Group:
        stays = np.array([np.isin(np.arange(group.num_channels), keep) for keep in keeps])
        stays = stays.reshape(len(keeps), group.num_channels)
        if not is_zeroed_in_tensors(graph, program, group):
            return cls(group, stays, None)
        try:
            seen = views(graph, program, group)
        except CriterionError:  # Read inside a layer: only its weights can be masked.
            return cls(group, stays, None)
        return cls(group, stays, Partition(program, seen, with_readers=False))


def measure_sets(
    graph: ChannelGraph, keeps: Mapping[str, Sequence[np.ndarray]], calibration: Calibration
) -> tuple[float, dict[str, np.ndarray]]:
    """Return the mean loss of the model, and how much it grows without sets of channels of single groups.

    Samples without targets take what the model makes of them for targets; the loss is then the squared difference over
    the variance of the output, averaged over the outputs, and that of the model is 0.

    Args:
        graph: The traced model; it is not changed.
        keeps: Group → for each case the indices of its channels that stay.
        calibration: The samples and the loss.

    Returns:
        The loss, and group → increase in each case, shape `(num_cases,)`, float64.

    Raises:
        SpecError: The samples have targets, and there is no loss and none can be inferred.
    """
    program = Program(graph.model)
    size = batch_size(program, calibration)
    tried = [_Group.of(graph, program, group, keeps[group.name]) for group in graph.groups if group.name in keeps]
    loss = calibration.loss() if calibration.is_labelled else _difference(program, calibration, size)
    parts = [calibration.x, calibration.y] if calibration.is_labelled else [calibration.x]
    total, totals, num_done = 0.0, {each.group.name: np.zeros(len(each.stays)) for each in tried}, 0
    for count, (x, *targets) in calibration.batches(size, *parts):
        values = _through(program, x, tried)
        whole = [values[number] for number in program.outputs]
        wanted = [ops.convert_to_tensor(each) for each in targets[0]] if targets else whole

        def summed(outputs: list[BackendTensor], wanted: list[BackendTensor] = wanted, count: int = count) -> float:
            losses = ops.convert_to_numpy(loss(wanted, outputs))
            return float(np.sum(losses[:count], dtype=np.float64))

        total += summed(whole)
        for each in tried:
            for case, stays in enumerate(each.stays):
                totals[each.group.name][case] += summed(_without(graph, program, each, stays, values, x))
            num_done += count
            calibration.on_share(num_done / (calibration.num_samples * len(tried)))
    mean = total / calibration.num_samples
    return mean, {name: sums / calibration.num_samples - mean for name, sums in totals.items()}


def _through(program: Program, x: list[np.ndarray], tried: Sequence[_Group]) -> Tensors:
    """Return the outputs of a batch, and what the steps that depend on channels take."""
    given = dict(zip(program.inputs, program.standardize(x), strict=True))
    between = {number for each in tried if each.partition is not None for number in each.partition.between}
    numbers = sorted({*program.outputs, *between})
    return dict(zip(numbers, program.run(given, numbers), strict=True))


def _without(
    graph: ChannelGraph, program: Program, tried: _Group, stays: np.ndarray, values: Tensors, x: list[np.ndarray]
) -> list[BackendTensor]:
    """Return the outputs of a batch when only some channels of a group stay, shape `(num_channels,)`."""
    if tried.partition is None:
        inputs = pack_inputs(graph.model, x)
        mask = Mask.of(graph, graph.stays({tried.group.name: np.flatnonzero(stays)}))
        return [ops.convert_to_tensor(each, "float32") for each in run(graph.model, mask, inputs)]
    places = {(view.step, view.tensor): view for view in tried.partition.seen or ()}

    def watch(index: int, tensors: Tensors) -> Tensors:
        return {
            number: _masked(tensor, stays, places[index, number])
            for number, tensor in tensors.items()
            if (index, number) in places
        }

    taken = {number: values[number] for number in tried.partition.between}
    return program.run(taken, program.outputs, tried.partition.tail, watch)


def _masked(tensor: BackendTensor, stays: np.ndarray, view: View) -> BackendTensor:
    factors = np.ones(tensor.shape[view.axis])
    factors[view.positions] = stays[:, np.newaxis]
    shape = [1] * len(tensor.shape)
    shape[view.axis] = -1
    return tensor * ops.convert_to_tensor(factors.reshape(shape), tensor.dtype)


def _difference(program: Program, calibration: Calibration, size: int) -> SampleLosses:
    """Return `(what the model makes, outputs) -> loss of each sample`, relative to the variance of each output."""
    batches = []
    for count, (x,) in calibration.batches(size, calibration.x):
        outputs = program.run(dict(zip(program.inputs, program.standardize(x), strict=True)), program.outputs)
        arrays = (ops.convert_to_numpy(each)[:count].astype(np.float64) for each in outputs)
        batches.append([(each.size, each.sum(), np.square(each).sum()) for each in arrays])
    sizes, sums, squares = np.sum(batches, axis=0).T
    variances = np.maximum(squares / sizes - np.square(sums / sizes), 1e-12)

    def loss(wanted: list[BackendTensor], outputs: list[BackendTensor]) -> BackendTensor:
        off = [
            np.square(np.subtract(*(ops.convert_to_numpy(each).astype(np.float64) for each in pair)))
            for pair in zip(outputs, wanted, strict=True)
        ]
        by_output = [
            each.reshape(len(each), -1).mean(axis=1) / variance for each, variance in zip(off, variances, strict=True)
        ]
        return ops.convert_to_tensor(np.mean(by_output, axis=0))

    return loss
