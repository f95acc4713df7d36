"""Giving a pruned network back what the original computed: least squares, layer by layer, without any training."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from pruning.datasets.data import Inputs
from pruning.datasets.rows import rows_of
from pruning.graph.groups import ChannelGraph
from pruning.graph.program import Program, ProgramStep
from pruning.keras_model.parts import variables_of
from pruning.keras_model.weights import read_weights
from pruning.recovery.frontier import Frontier, Move, moves
from pruning.scoring.gram import Gram, applied
from pruning.scoring.linear import MOST_GRAM_BYTES, MOST_POSITIONS, Linear, linears, positions
from pruning.scoring.offsets import Offsets

_CHUNK = 64
_FRONTIER_BYTES = 2**31


@dataclass(frozen=True)
class Reconstructed:
    """One kernel that was solved anew.

    Attributes:
        path: Path of its layer, and for a projection in a layer its name.
        error_before: Squared difference of the layer's output to the original's, before its activation, over the
            variance of the original's; on the samples, with all layers before it solved.
        error_after: The same after it was solved.
    """

    path: str
    error_before: float
    error_after: float


@dataclass(frozen=True)
class Reconstruction:
    """What `reconstruct` did.

    Attributes:
        layers: The kernels that were solved, in that order.
        num_samples: Samples that were used.
        seconds: What it took.
    """

    layers: tuple[Reconstructed, ...]
    num_samples: int
    seconds: float


def reconstruct(
    graph: ChannelGraph,
    small: ChannelGraph,
    stays: np.ndarray,
    inputs: Inputs,
    *,
    seed: int = 0,
    ridge: float = 1e-4,
    num_positions: int = MOST_POSITIONS,
    chunk: int = _CHUNK,
    frontier_bytes: int = _FRONTIER_BYTES,
    leave: Collection[int] = (),
) -> Reconstruction:
    """Solve the layers that read removed channels anew, so that they give what they gave in the original.

    In the order of the graph, each kernel becomes `W0 + (XᵀX + λI)⁻¹ Xᵀ(Y - X W0)`: `X` is what the layer reads in
    the pruned network, in which all before it is solved, `Y` what it made in the original, before its activation, of
    the outputs that stay. The difference of the means goes into the bias; without one, into the moving mean of a
    BatchNormalization that alone takes what the layer makes; else it stays, and `X` and `Y` are not centred.
    Everything runs in inference mode, statistics stay the original's, and no target is needed.

    A layer that is called several times is solved on all its calls, or if it is called on what it made itself, on those
    before. One that is not in the table `LINEAR`, or whose products would take more than a gigabyte, stays as it was
    cut.

    All samples go through both networks once. Held are the tensors that later layers still read, of both networks: at
    most `frontier_bytes`, or else fewer samples are used. A ResNet-20 on 32x32 images takes 0.4 MB a sample.
    Products of the inputs take `(window * channels)² * 8` bytes for the layer that is being solved.

    Source: He et al. 2017, arXiv:1707.06168, section 3.1, and Meng et al. 2024, OSSCAR, arXiv:2403.12983. Differs:
    the ridge pulls towards the weights as they were cut.

    Args:
        graph: The model before the prune; never changed.
        small: What `prune_channels` made of it; the weights of its model change in place.
        stays: Whether each label stayed, shape `(num_labels,)`.
        inputs: Samples without targets, by name, in the order of the model's inputs.
        seed: Seed of the positions and, if not all fit, of the samples.
        ridge: λ as a share of the mean of the diagonal of `XᵀX`.
        num_positions: Positions of each sample and call that are looked at, at random where there are more.
        chunk: Samples that are run at once.
        frontier_bytes: See above.
        leave: Ids of layers of `graph` that stay as they were cut.

    Returns:
        What was solved, and how far off it was before and after.
    """
    start, random = time.monotonic(), np.random.default_rng(seed)
    solved = {key: layer for key, layer in _readers(graph, stays).items() if key not in leave}
    order = moves(Program(graph.model), solved)
    if not order:
        return Reconstruction((), 0, time.monotonic() - start)
    drawn = random.permutation(len(next(iter(inputs.values()))))
    frontier = Frontier(graph, small, rows_of(inputs, drawn), order, frontier_bytes, chunk)
    solver, found = _Solver(graph, small, stays, frontier, num_positions, random), []
    for position, move in enumerate(order):
        if move.layer is None:
            frontier.run(move.steps[0], position)
        else:
            found.extend(solver.solve(move, ridge))
    return Reconstruction(tuple(found), frontier.num_samples, time.monotonic() - start)


def _readers(graph: ChannelGraph, stays: np.ndarray) -> dict[int, keras.Operation]:
    """Return id → layer for each with a kernel that reads channels which do not stay."""
    return {
        id(step.node.operation): step.node.operation
        for step in Program(graph.model).steps
        if any(_reads_removed(graph, stays, step, linear) for linear in linears(step.node))
    }


def _reads_removed(graph: ChannelGraph, stays: np.ndarray, step: ProgramStep, linear: Linear) -> bool:
    index = _index(step.node.operation, linear.kernel)
    return linear.layout.gram_bytes <= MOST_GRAM_BYTES and any(
        not stays[axis.labels].all()
        for axis in graph.axes_of(step.node.operation)
        if axis.variable_index == index and axis.axis in linear.read_axes
    )


def _index(layer: keras.Operation, variable: keras.Variable) -> int:
    return next(index for index, each in enumerate(variables_of(layer)) if each is variable)


class _Solver:
    """Solves the kernels of one layer after the other on what a frontier holds."""

    def __init__(
        self,
        graph: ChannelGraph,
        small: ChannelGraph,
        stays: np.ndarray,
        frontier: Frontier,
        num_positions: int,
        random: np.random.Generator,
    ) -> None:
        self._graph, self._stays = graph, stays
        self._frontier, self._num_positions, self._random = frontier, num_positions, random
        self._offsets = Offsets(small)

    def solve(self, move: Move, ridge: float) -> list[Reconstructed]:
        """Solve the kernels of the layer of a move, and return how far off they were."""
        calls = [self._frontier.step(index) for index in move.steps]
        pairs = [list(zip(linears(step.node), linears(pruned.node), strict=True)) for step, pruned in calls]
        path, found = self._graph.records.layers[id(move.layer)][0], []
        for number, (linear, cut) in enumerate(pairs[0]):
            if not _reads_removed(self._graph, self._stays, calls[0][0], linear):
                continue
            gram = self._sums([(*call, *each[number]) for call, each in zip(calls, pairs, strict=True)])
            offset = self._offsets.of(calls[0][1].node, cut)
            solution = gram.solve(ridge, offset is not None)
            kernel = read_weights(cut.kernel)
            change = cut.layout.kernel(solution.change, kernel.shape)
            cut.kernel.assign((kernel + change).astype(kernel.dtype))
            if offset is not None:
                offset.add(solution.shift)
            name = path if linear.layer is move.layer else f"{path}/{linear.layer.name}"
            found.append(Reconstructed(name, solution.error_before, solution.error_after))
        return found

    def _sums(self, calls: Sequence[tuple[ProgramStep, ProgramStep, Linear, Linear]]) -> Gram:
        """Return the sums over all calls of one kernel."""
        (step, _, linear, cut), *_ = calls
        kept, factor = self._kept(step.node.operation, linear, cut)
        teacher = linear.layout.matrices(read_weights(linear.kernel)).astype(np.float64)
        weights = cut.layout.matrices(read_weights(cut.kernel)).astype(np.float64)
        gram = Gram(*weights.shape)
        for step, pruned, linear, cut in calls:
            number, other = step.arguments[id(linear.argument)], pruned.arguments[id(cut.argument)]
            count = linear.num_positions(self._frontier.shape(number))
            places = positions(count, self._frontier.num_samples, self._random, self._num_positions)
            done = 0
            for original, small in self._frontier.chunks(number, other):
                chosen = places[done : done + len(original)]
                done += len(original)
                made = applied(linear.columns(original, chosen), teacher)
                targets = factor * made.reshape(len(made), -1)[:, kept]
                read = cut.columns(small, chosen).astype(np.float64)
                gram.add(read, targets - applied(read, weights), targets)
        return gram

    def _kept(self, layer: keras.Operation, linear: Linear, cut: Linear) -> tuple[np.ndarray, float]:
        """Return which outputs of the original's matrices stay, and what surgery multiplied them by.

        The outputs, counted through, have shape `(blocks, outputs)`, those of the pruned layer.
        """
        blocks, inputs, outputs = linear.layout.sizes
        numbers = np.broadcast_to(np.arange(blocks * outputs).reshape(blocks, 1, outputs), (blocks, inputs, outputs))
        kernel, index = linear.layout.kernel(numbers, tuple(linear.kernel.shape)), _index(layer, linear.kernel)
        for axis in self._graph.axes_of(layer):
            if axis.variable_index == index:
                kernel = np.compress(self._stays[axis.labels], kernel, axis=axis.axis)
        scale = self._graph.records.scales.get((id(layer), index))
        return cut.layout.matrices(kernel)[:, 0], 1.0 if scale is None else scale.factor(self._stays)
