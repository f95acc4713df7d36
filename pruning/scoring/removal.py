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
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program, Step
from pruning.rules.parts import variables_of
from pruning.scoring.calibration import Calibration
from pruning.scoring.masked import measure_masked
from pruning.scoring.observation import Means, Measure, View, batch_size, is_zeroed_in_tensors, views
from pruning.weights import read_weights

_ROWS = 256
_MASKS = 16
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
    if not is_zeroed_in_tensors(graph, program, group):
        return measure_masked(graph, group, batch_size(program, calibration), calibration, measure)
    try:
        seen = views(graph, program, group)
    except CriterionError:
        seen = None  # Read inside a layer: only its weights can be masked.
    if seen == []:
        return np.zeros(group.num_channels)
    split = Split(program, seen)
    num_rows = calibration.batch_size or split.num_rows
    size = min(num_rows, calibration.num_samples)
    num_masks = max(1, min(num_rows // size, group.num_channels + 1, _MASKS)) if seen else 1
    head = _Head(graph.model, program, split)
    tail = _Tail(graph, group, program, split, calibration.loss())
    for part in (head, tail):
        part.compile(jit_compile=keras.backend.backend() == "jax")
    blocks = _blocks(group.num_channels, num_masks)
    means = Means([group], calibration)
    for count, (x, y) in calibration.batches(size, calibration.x, calibration.y):
        tensors = tuple(ops.convert_to_tensor(each) for each in head.predict_on_batch(tuple(x)))
        targets = tuple(ops.convert_to_tensor(each) for each in y)
        losses = []
        for number, block in enumerate(blocks):
            rows = tail.predict_on_batch({"tensors": tensors, "targets": targets, "removed": block})
            losses.append(np.asarray(rows, dtype=np.float64).reshape(num_masks, size))
            done = (means.num_samples + count * (number + 1) / len(blocks)) / calibration.num_samples
            calibration.on_share(done)
        whole, *without = np.concatenate(losses)[: group.num_channels + 1]
        means.add(count, [measure((np.stack(without, axis=1) - whole[:, np.newaxis])[:count])])
    return means.result()[group.name]


def _blocks(num_channels: int, num_masks: int) -> list[np.ndarray]:
    """Return the channel that each mask of each block removes: first none, which is `num_channels`, then each."""
    removed = np.full(-(-(num_channels + 1) // num_masks) * num_masks, num_channels, dtype=np.int32)
    removed[1 : num_channels + 1] = np.arange(num_channels)
    return list(removed.reshape(-1, num_masks))


@dataclass(frozen=True)
class _Reader:
    """A convolution or dense layer that reads channels which nothing has changed yet.

    It is linear, up to its activation: without a channel it makes what it makes of all, less what it makes of this one.

    Attributes:
        layer: The layer.
        read: Number of the tensor that goes in.
        made: Number of the tensor that comes out.
        positions: Where each channel lies on the last axis, shape `(num_channels, n)`.
    """

    layer: Any
    read: int
    made: int
    positions: np.ndarray

    @classmethod
    def of(cls, step: Step, seen: list[View]) -> _Reader | None:
        """Return the reader at a step with these views of its inputs, or `None`: something else reads there."""
        layer, (view, *others) = step.node.operation, seen
        plain = (
            type(layer) in (layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.Dense)
            and layer.dtype_policy.name == "float32"
            and not layer.lora_enabled
            and getattr(layer, "groups", 1) == 1
            and getattr(layer, "padding", "same") in ("same", "valid")
            and getattr(layer, "data_format", "channels_last") == "channels_last"
        )
        if not plain or others or view.axis != len(step.node.outputs[0].shape) - 1:
            return None
        return cls(layer, view.tensor, step.outputs[0], view.positions)

    def whole(self, tensor: Any) -> Any:
        """Return what the layer makes of all channels, before its activation."""
        made = self._linear(tensor, ops.convert_to_tensor(self.layer.kernel))
        return made if self.layer.bias is None else made + ops.convert_to_tensor(self.layer.bias)

    def without(self, tensor: Any, whole: Any, removed: Any) -> Any:
        """Return what the layer makes without each of some channels, masks outermost.

        Args:
            tensor: What it reads.
            whole: What it makes of all channels.
            removed: Numbers of the channels; the number behind the last removes none.
        """
        num_channels = len(self.positions)
        kernel = ops.convert_to_tensor(self.layer.kernel)
        made = []
        for mask in range(removed.shape[0]):
            places = ops.take(self.positions, ops.minimum(removed[mask], num_channels - 1), axis=0)
            weights = ops.take(kernel, places, axis=-2) * ops.cast(removed[mask] < num_channels, kernel.dtype)
            made.append(whole - self._linear(ops.take(tensor, places, axis=-1), weights))
        return self.layer.activation(ops.concatenate(made, axis=0))

    def _linear(self, tensor: Any, kernel: Any) -> Any:
        layer = self.layer
        if isinstance(layer, layers.Dense):
            return ops.matmul(tensor, kernel)
        return ops.conv(tensor, kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate)


class Split:
    """Which steps depend on the masks, and which tensors they take from the steps that do not.

    Attributes:
        seen: Where the channels are read; `None`: somewhere inside layers.
        head: Steps that do not depend on the masks but are needed.
        readers: Layers that read unchanged channels, from which a channel is taken away.
        tail: Other steps that depend on the masks.
        between: Numbers of the tensors that the tail takes.
        num_rows: How many rows the tail should be run on at once.
    """

    def __init__(self, program: Program, seen: list[View] | None) -> None:
        self.seen = seen
        self.readers: list[_Reader] = []
        changed: set[int] = set()
        if seen is None:
            self.head: list[int] = []
            self.tail = list(range(len(program.steps)))
            self.between = list(program.inputs)
            changed.update(number for step in program.steps for number in step.outputs)
        else:
            read = {view.step for view in seen}
            self.tail = []
            for index, step in enumerate(program.steps):
                depends = bool(changed & set(step.arguments.values()))
                if not depends and index not in read:
                    continue
                reader = None if depends else _Reader.of(step, [view for view in seen if view.step == index])
                if reader is None:
                    self.tail.append(index)
                else:
                    self.readers.append(reader)
                changed.update(step.outputs)
            taken = {number for index in self.tail for number in program.steps[index].arguments.values()}
            self.between = sorted((taken | set(program.outputs)) - changed)
            needed = {*self.between, *(reader.read for reader in self.readers)}
            self.head = []
            for index in range(len(program.steps) - 1, -1, -1):
                step = program.steps[index]
                if changed.isdisjoint(step.outputs) and needed & set(step.outputs):
                    self.head.insert(0, index)
                    needed.update(step.arguments.values())
        largest = max(
            (
                math.prod(size or 1 for size in symbol.shape[1:])
                for step in program.steps
                if changed.intersection(step.outputs)
                for symbol in step.node.outputs
            ),
            default=1,
        )
        self.num_rows = max(1, min(_ROWS, _LARGEST_BYTES // (4 * largest)))


class _Head(keras.Model):
    """The model up to where the masks begin to matter."""

    def __init__(self, model: keras.Model, program: Program, split: Split) -> None:
        super().__init__(name="head")
        self.whole = model
        self._run = (program, split)

    def call(self, inputs: Any) -> list[Any]:
        program, split = self._run
        values = dict(zip(program.inputs, program.standardize(inputs), strict=True))
        reads = [reader.read for reader in split.readers]
        tensors = program.run(values, [*split.between, *reads], split.head)
        read = tensors[len(split.between) :]
        return [*tensors, *(reader.whole(tensor) for reader, tensor in zip(split.readers, read, strict=True))]


class _Tail(keras.Model):
    """The rest of the model on every mask and sample; its output is the loss of each pair, masks outermost."""

    def __init__(self, graph: ChannelGraph, group: ChannelGroup, program: Program, split: Split, loss: Any) -> None:
        super().__init__(name="tail")
        self.whole = graph.model
        self._run = (program, split, loss)
        self._num_channels = group.num_channels
        self._places = {(view.step, view.tensor): view for view in split.seen or ()}
        self._axes = (
            []
            if split.seen is not None
            else [
                (variables_of(axis.layer)[axis.variable_index], axis.axis, graph.rows(axis, group))
                for axis in graph.axes("in", group)
            ]
        )
        called = [program.steps[index].node.operation for index in split.tail]
        called += [reader.layer for reader in split.readers]
        by_id = {id(layer): layer for layer in called}
        variables = [variable for layer in by_id.values() for variable in getattr(layer, "variables", ())]
        small = sum(math.prod(variable.shape) * 4 for variable in variables) <= _CONSTANT_BYTES
        self._constants = [(variable, read_weights(variable)) for variable in variables] if small else []

    def call(self, inputs: dict[str, Any]) -> Any:
        program, split, loss = self._run
        removed, tensors = inputs["removed"], list(inputs["tensors"])
        num_masks, num_samples = removed.shape[0], tensors[0].shape[0]
        values = {number: _tiled(tensors.pop(0), num_masks) for number in split.between}
        reads, wholes = tensors[: len(split.readers)], tensors[len(split.readers) :]
        factors = ops.cast(removed[:, np.newaxis] != np.arange(self._num_channels), "float32")
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
        with keras.StatelessScope(state_mapping=mapping) if mapping else contextlib.nullcontext():
            for reader, read, whole in zip(split.readers, reads, wholes, strict=True):
                values[reader.made] = reader.without(read, whole, removed)
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
