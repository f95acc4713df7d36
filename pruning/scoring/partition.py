"""Where a model is cut in two: what does not depend on a group's masks, and what does."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from keras import layers, ops

from pruning.graph.program import Program, ProgramStep
from pruning.keras_model.operations import BaseConv
from pruning.keras_model.tensors import BackendTensor
from pruning.scoring.views import View

_ROWS = 256
_LARGEST_BYTES = 2**25


@dataclass(frozen=True)
class Reader:
    """A convolution or dense layer that reads channels which nothing has changed yet.

    It is linear, up to its activation: without a channel it makes what it makes of all, less what it makes of this one.

    Attributes:
        layer: The layer.
        read: Number of the tensor that goes in.
        made: Number of the tensor that comes out.
        positions: Where each channel lies on the last axis, shape `(num_channels, n)`.
    """

    layer: BaseConv | layers.Dense
    read: int
    made: int
    positions: np.ndarray

    @classmethod
    def of(cls, step: ProgramStep, seen: list[View]) -> Reader | None:
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

    def whole(self, tensor: BackendTensor) -> BackendTensor:
        """Return what the layer makes of all channels, before its activation."""
        made = self._linear(tensor, ops.convert_to_tensor(self.layer.kernel))
        return made if self.layer.bias is None else made + ops.convert_to_tensor(self.layer.bias)

    def without(self, tensor: BackendTensor, whole: BackendTensor, removed: BackendTensor) -> BackendTensor:
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

    def _linear(self, tensor: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        layer = self.layer
        if isinstance(layer, layers.Dense):
            return ops.matmul(tensor, kernel)
        return ops.conv(tensor, kernel, layer.strides, layer.padding, layer.data_format, layer.dilation_rate)


class Partition:
    """Which steps depend on the masks, and which tensors they take from the steps that do not.

    Args:
        program: The steps.
        seen: Where the channels are read; `None`: somewhere inside layers.
        with_readers: Whether to set readers apart; else they are steps of the tail.

    Attributes:
        seen: See above.
        head: Steps that do not depend on the masks but are needed.
        readers: Layers that read unchanged channels, from which a channel is taken away.
        tail: Other steps that depend on the masks.
        between: Numbers of the tensors that the tail takes.
        num_rows: How many rows the tail should be run on at once.
    """

    def __init__(self, program: Program, seen: list[View] | None, *, with_readers: bool = True) -> None:
        self.seen = seen
        self.readers: list[Reader] = []
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
                is_reader = with_readers and not depends
                reader = Reader.of(step, [view for view in seen if view.step == index]) if is_reader else None
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
