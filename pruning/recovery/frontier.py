"""Two networks run side by side on many samples, step by step, with only the tensors held that are still needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from pruning.datasets.data import Inputs
from pruning.graph.groups import ChannelGraph
from pruning.graph.program import Program, ProgramStep, Tensors
from pruning.keras_model.graph import require_graph
from pruning.keras_model.masks import mask_of, with_mask
from pruning.keras_model.parts import variable_shapes
from pruning.keras_model.tensors import BackendTensor


@dataclass(frozen=True)
class Move:
    """One move of the two networks.

    Attributes:
        layer: Layer to be solved; `None`: a step is run.
        steps: Indices of the calls whose inputs it is solved on; or the step that is run.
    """

    layer: keras.Operation | None
    steps: tuple[int, ...]


def moves(program: Program, solved: Mapping[int, keras.Operation]) -> list[Move]:
    """Return an order in which each layer is solved before any of its calls is run, and after all before it.

    A layer is solved on the inputs of all its calls, unless some of them depend on what others make.

    Args:
        program: The network's steps.
        solved: Id of each layer that is solved → the layer.

    Returns:
        The moves; what lies behind the last layer that is solved is left out.
    """
    calls: dict[int, list[int]] = {}
    for index, step in enumerate(program.steps):
        calls.setdefault(id(step.node.operation), []).append(index)
    order: list[Move] = []
    known, settled, pending = set(program.inputs), set[int](), list(range(len(program.steps)))

    def is_ready(index: int) -> bool:
        return known.issuperset(program.steps[index].arguments.values())

    def is_settled(index: int) -> bool:
        key = id(program.steps[index].node.operation)
        return key in settled or key not in solved

    while pending:
        runnable = next((index for index in pending if is_ready(index) and is_settled(index)), None)
        if runnable is None:
            ready = [index for index in pending if is_ready(index)]
            whole = [index for index in ready if all(map(is_ready, calls[id(program.steps[index].node.operation)]))]
            layer = program.steps[(whole or ready)[0]].node.operation
            settled.add(id(layer))
            order.append(Move(layer, tuple(call for call in calls[id(layer)] if is_ready(call))))
        else:
            pending.remove(runnable)
            known.update(program.steps[runnable].outputs)
            order.append(Move(None, (runnable,)))
    last = max((position for position, move in enumerate(order) if move.layer is not None), default=-1)
    return _needed(program, order[: last + 1])


def _needed(program: Program, order: Sequence[Move]) -> list[Move]:
    """Return the moves on which a layer that is solved depends."""
    wanted: set[int] = set()
    kept = []
    for move in reversed(order):
        if move.layer is not None or wanted.intersection(*(program.steps[index].outputs for index in move.steps)):
            kept.append(move)
            wanted.update(_read(program, move))
    return kept[::-1]


def _read(program: Program, move: Move) -> Iterator[int]:
    for index in move.steps:
        yield from program.steps[index].arguments.values()
        yield from (mask for _, mask in program.masks.get(index, ()))


class Frontier:
    """The tensors of an original and of the network pruned from it, for all samples.

    A tensor is dropped after the last move that reads it. What is the same in both networks is held once.

    Args:
        graph: The original.
        small: What was pruned from it.
        inputs: Samples by name, in the order of the model's inputs.
        order: What `moves` returns for the original.
        budget: Bytes that all tensors may take; of too many samples some are left out.
        chunk: Samples that are run at once; a model of a fixed batch size decides itself.

    Attributes:
        program: Steps of the original.
        num_samples: Samples that are held.
    """

    def __init__(
        self, graph: ChannelGraph, small: ChannelGraph, inputs: Inputs, order: Sequence[Move], budget: int, chunk: int
    ) -> None:
        self.program, self._small = Program(graph.model), Program(small.model)
        by_path = dict(small.records.layers.values())
        self._steps = [
            self._small.index[id(by_path[graph.records.layers[id(step.node.operation)][0]]), step.call]
            for step in self.program.steps
        ]
        self._number = dict(zip(self.program.inputs, self._small.inputs, strict=True))
        for index, step in enumerate(self.program.steps):
            self._number.update(zip(step.outputs, self.step(index)[1].outputs, strict=True))
        self._last = {number: position for position, move in enumerate(order) for number in _read(self.program, move)}
        fixed = require_graph(graph.model).inputs[0].shape[0]
        size = fixed or chunk
        total = len(next(iter(inputs.values())))
        fitting = int(budget // max(self._bytes_of_one(inputs, order, size), 1)) // size * size
        self.num_samples = min(total, max(fitting, size))
        self._values: list[tuple[Tensors, Tensors]] = []
        for start in range(0, self.num_samples, size):
            # A model of a fixed batch size has its last batch filled up from the front.
            rows = np.arange(start, start + size if fixed else min(start + size, self.num_samples)) % total
            self._values.append(self._start([array[rows] for array in inputs.values()]))
        self.num_samples = sum(self._sizes())

    def step(self, index: int) -> tuple[ProgramStep, ProgramStep]:
        """Return a step of the original, and the pruned network's."""
        return self.program.steps[index], self._small.steps[self._steps[index]]

    def chunks(self, number: int, pruned: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield a tensor of the original, by its number, and one of the pruned network, for some samples at a time."""
        for original, small in self._values:
            yield _array(original[number]), _array(small[pruned])

    def shape(self, number: int) -> tuple[int, ...]:
        """Return the shape of a tensor of the original, for the first samples."""
        return tuple(self._values[0][0][number].shape)

    def run(self, index: int, position: int) -> None:
        """Run a step in both networks, and drop what no later move reads.

        Args:
            index: Index of the step of the original.
            position: Which move this is.
        """
        step, pruned = self.step(index)
        same = _does_the_same(step, pruned)
        for original, small in self._values:
            inputs = zip(step.arguments.values(), pruned.arguments.values(), strict=True)
            shared = same and all(original[first] is small[second] for first, second in inputs)
            made = _detached(self.program.run(original, step.outputs, [index]))
            original.update(zip(step.outputs, made, strict=True))
            if not shared:
                made = _detached(self._small.run(small, pruned.outputs, [self._steps[index]]))
            small.update(zip(pruned.outputs, made, strict=True))
            for number in list(original):
                if self._last.get(number, -1) <= position:
                    del original[number], small[self._number[number]]

    def _start(self, arrays: list[np.ndarray]) -> tuple[Tensors, Tensors]:
        tensors = self.program.standardize([keras.ops.convert_to_tensor(array) for array in arrays])
        original = dict(zip(self.program.inputs, tensors, strict=True))
        return original, {self._number[number]: tensor for number, tensor in original.items()}

    def _sizes(self) -> Iterator[int]:
        return (int(next(iter(original.values())).shape[0]) for original, _ in self._values)

    def _bytes_of_one(self, inputs: Inputs, order: Sequence[Move], size: int) -> float:
        """Return the most bytes that a sample's tensors take at once, found by running some of them alone."""
        rows = np.arange(size) % len(next(iter(inputs.values())))
        values, _ = self._start([array[rows] for array in inputs.values()])
        most = 0
        for position, move in enumerate(order):
            if move.layer is None:
                (index,) = move.steps
                outputs = self.program.steps[index].outputs
                values.update(zip(outputs, _detached(self.program.run(values, outputs, [index])), strict=True))
                most = max(most, 2 * sum(_bytes(tensor) for tensor in values.values()))
            values = {number: tensor for number, tensor in values.items() if self._last.get(number, -1) > position}
        return most / size


def _does_the_same(step: ProgramStep, pruned: ProgramStep) -> bool:
    """Tell whether a step gives the same in both networks where it is given the same: nothing of it was cut."""
    shapes = [
        ([symbol.shape for symbol in each.node.outputs], variable_shapes(each.node.operation))
        for each in (step, pruned)
    ]
    return shapes[0] == shapes[1]


def _detached(tensors: Iterable[BackendTensor]) -> list[BackendTensor]:
    """Return tensors with their masks, without what a backend keeps of how they were made."""
    return [with_mask(keras.ops.stop_gradient(tensor), mask_of(tensor)) for tensor in tensors]


def _bytes(tensor: BackendTensor) -> int:
    return int(np.prod(tensor.shape)) * np.dtype(np.float32).itemsize


def _array(tensor: BackendTensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float32)
