"""How much the loss changes when a channel is removed: exactly, and much cheaper than one pass for each channel.

Removed means zeroed where it is read, as in the proof. Nothing that lies before the first place where a group's
channels are read depends on its masks: it is computed once. What lies behind is run on many masks at once, with all
weights as constants, which the backend can fold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from pruning.calibration import Calibration
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.observation import Measure, View, views
from pruning.rules.parts import variables_of
from pruning.weights import read_weights

_ROWS = 512
_LARGEST_BYTES = 2**25
_CONSTANT_BYTES = 2**26


def measure_removals(
    graph: ChannelGraph, group: ChannelGroup, calibration: Calibration, measure: Measure
) -> np.ndarray:
    """Return the mean of a measure of how much each sample's loss grows without a channel, shape `(num_channels,)`.

    Raises:
        SpecError: There is no loss, and none can be inferred.
    """
    program = Program(graph.model)
    try:
        seen = views(graph, program, group)
    except CriterionError:
        seen = None  # Read inside a layer: only its weights can be masked.
    if seen == []:
        return np.zeros(group.num_channels)
    split = _Split(program, seen)
    num_rows = calibration.batch_size or split.num_rows
    size = min(num_rows, calibration.num_samples)
    num_masks = max(1, min(num_rows // size, group.num_channels + 1)) if seen else 1
    head = _Head(graph.model, program, split)
    tail = _Tail(graph, group, program, split, calibration.loss())
    for part in (head, tail):
        part.compile(jit_compile=keras.backend.backend() == "jax")
    masks = _masks(group.num_channels, num_masks)
    total, num_samples = np.zeros(group.num_channels), 0
    for count, (x, y) in calibration.batches(size, calibration.x, calibration.y):
        tensors = tuple(ops.convert_to_tensor(each) for each in head.predict_on_batch(tuple(x)))
        targets = tuple(ops.convert_to_tensor(each) for each in y)
        losses = []
        for number, block in enumerate(masks):
            rows = tail.predict_on_batch({"tensors": tensors, "targets": targets, "factors": block})
            losses.append(np.asarray(rows, dtype=np.float64).reshape(num_masks, size))
            done = (num_samples + count * (number + 1) / len(masks)) / calibration.num_samples
            calibration.on_share(done)
        whole, *without = np.concatenate(losses)[: group.num_channels + 1]
        total += measure((np.stack(without, axis=1) - whole[:, np.newaxis])[:count]).sum(axis=0)
        num_samples += count
    return total / num_samples


def _masks(num_channels: int, num_masks: int) -> list[np.ndarray]:
    """Return blocks of masks, the first mask of which removes nothing, and mask `1 + c` channel `c`."""
    masks = np.ones((-(-(num_channels + 1) // num_masks) * num_masks, num_channels), dtype=np.float32)
    masks[np.arange(1, num_channels + 1), np.arange(num_channels)] = 0
    return list(masks.reshape(-1, num_masks, num_channels))


class _Split:
    """Which steps depend on the masks, and which tensors they take from the steps that do not.

    Attributes:
        seen: Where the channels are read; `None`: somewhere inside layers.
        head: Steps that do not depend on the masks but are needed.
        tail: Steps that do.
        between: Numbers of the tensors that the tail takes.
        num_rows: How many rows the tail should be run on at once.
    """

    def __init__(self, program: Program, seen: list[View] | None) -> None:
        self.seen = seen
        if seen is None:
            self.head: list[int] = []
            self.tail = list(range(len(program.steps)))
            self.between = list(program.inputs)
        else:
            read = {view.step for view in seen}
            changed: set[int] = set()
            self.tail = []
            for index, step in enumerate(program.steps):
                if index in read or changed & set(step.arguments.values()):
                    self.tail.append(index)
                    changed.update(step.outputs)
            taken = {number for index in self.tail for number in program.steps[index].arguments.values()}
            self.between = sorted((taken | set(program.outputs)) - changed)
            needed = set(self.between)
            self.head = []
            for index in range(len(program.steps) - 1, -1, -1):
                step = program.steps[index]
                if index not in self.tail and needed & set(step.outputs):
                    self.head.insert(0, index)
                    needed.update(step.arguments.values())
        largest = max(
            (
                math.prod(size or 1 for size in symbol.shape[1:])
                for index in self.tail
                for symbol in program.steps[index].node.outputs
            ),
            default=1,
        )
        self.num_rows = max(1, min(_ROWS, _LARGEST_BYTES // (4 * largest)))


class _Head(keras.Model):
    """The model up to where the masks begin to matter."""

    def __init__(self, model: keras.Model, program: Program, split: _Split) -> None:
        super().__init__(name="head")
        self.whole = model
        self._run = (program, split)

    def call(self, inputs: Any) -> list[Any]:
        program, split = self._run
        values = dict(zip(program.inputs, program.standardize(inputs), strict=True))
        return program.run(values, split.between, split.head)


class _Tail(keras.Model):
    """The rest of the model on every mask and sample; its output is the loss of each pair, masks outermost."""

    def __init__(self, graph: ChannelGraph, group: ChannelGroup, program: Program, split: _Split, loss: Any) -> None:
        super().__init__(name="tail")
        self.whole = graph.model
        self._run = (program, split, loss)
        self._places = {(view.step, view.tensor): view for view in split.seen or ()}
        self._axes = (
            []
            if split.seen is not None
            else [
                (variables_of(axis.layer)[axis.variable_index], axis.axis, graph.rows(axis, group))
                for axis in graph.axes("in", group)
            ]
        )
        layers = {id(layer): layer for layer in (program.steps[index].node.operation for index in split.tail)}
        variables = [variable for layer in layers.values() for variable in getattr(layer, "variables", ())]
        small = sum(math.prod(variable.shape) * 4 for variable in variables) <= _CONSTANT_BYTES
        self._constants = [(variable, read_weights(variable)) for variable in variables] if small else []

    def call(self, inputs: dict[str, Any]) -> Any:
        program, split, loss = self._run
        factors = inputs["factors"]
        num_masks, num_samples = factors.shape[0], inputs["tensors"][0].shape[0]
        values = {
            number: _tiled(tensor, num_masks) for number, tensor in zip(split.between, inputs["tensors"], strict=True)
        }
        rows = ops.repeat(factors, num_samples, axis=0)
        targets = [_tiled(target, num_masks) for target in inputs["targets"]]

        def watch(index: int, tensors: dict[int, Any]) -> dict[int, Any]:
            return {
                number: _masked(tensor, rows, self._places[index, number])
                for number, tensor in tensors.items()
                if (index, number) in self._places
            }

        mapping = [(variable, ops.convert_to_tensor(value)) for variable, value in self._constants]
        mapping += self._masked_weights(factors[0], {id(variable): value for variable, value in mapping})
        if not mapping:
            return loss(targets, program.run(values, program.outputs, split.tail, watch))
        with keras.StatelessScope(state_mapping=mapping):
            return loss(targets, program.run(values, program.outputs, split.tail, watch))

    def _masked_weights(self, factors: Any, values: dict[int, Any]) -> list[tuple[Any, Any]]:
        masked: dict[int, tuple[Any, Any]] = {}
        for variable, axis, rows in self._axes:
            _, value = masked.get(id(variable), (variable, values.get(id(variable), variable)))
            masked[id(variable)] = variable, value * _laid(factors[np.newaxis], rows, axis, value.shape)[0]
        return list(masked.values())


def _tiled(tensor: Any, times: int) -> Any:
    return tensor if times == 1 else ops.tile(tensor, (times, *(1 for _ in tensor.shape[1:])))


def _masked(tensor: Any, rows: Any, view: View) -> Any:
    laid = _laid(rows, view.positions, view.axis - 1, tensor.shape[1:])
    return tensor * ops.cast(laid, tensor.dtype)


def _laid(rows: Any, positions: np.ndarray, axis: int, shape: Sequence[int | None]) -> Any:
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
