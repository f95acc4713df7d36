"""What kernels read of a group's channels: products of their inputs, summed over the samples."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from pruning.criteria.base import Reading
from pruning.errors import CriterionError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program, Tensors
from pruning.keras_model.parts import variables_of
from pruning.keras_model.weights import read_weights
from pruning.scoring.calibration import Calibration
from pruning.scoring.gram import Gram
from pruning.scoring.linear import MOST_GRAM_BYTES, Linear, linears, positions
from pruning.scoring.observation import Measure, Sums, batch_size
from pruning.scoring.offsets import Offsets
from pruning.scoring.views import View, unseen, views


@dataclass(frozen=True)
class _Kernel:
    """A kernel that reads channels which can go.

    Attributes:
        layer: The layer that is called.
        variable: Its variable's position among those of the layer.
        calls: Index of each step that calls it → the kernel as it is called there.
    """

    layer: keras.Layer
    variable: int
    calls: dict[int, Linear]

    @property
    def linear(self) -> Linear:
        """The kernel at its first call."""
        return next(iter(self.calls.values()))


def measure_readings(graph: ChannelGraph, calibration: Calibration, measure: Measure) -> Sums:
    """Return what a measure makes of the kernels that read each group's channels.

    Channels that nothing reads have 0. Groups that are read by anything but kernels of the table `LINEAR`, which are
    multiplied by what goes into their layer, are left out. All groups are measured in one pass over the data, or in
    several if their products would take more than a gigabyte together.
    """
    program = Program(graph.model)
    kernels = _kernels(graph, program)
    found: Sums = {}
    passes: list[dict[str, list[_Kernel]]] = [{}]
    taken: dict[int, int] = {}
    for group in graph.groups:
        with contextlib.suppress(CriterionError):  # Who asks for such a group is told why it has no figures.
            linear_views(graph, program, group)
            own = [kernel for kernel in kernels if _rows(graph, kernel, group).size]
            more = {id(kernel): kernel.linear.layout.gram_bytes for kernel in own if id(kernel) not in taken}
            if taken and sum(taken.values()) + sum(more.values()) > MOST_GRAM_BYTES:
                passes.append({})
                taken, more = {}, {id(kernel): kernel.linear.layout.gram_bytes for kernel in own}
            taken |= more
            passes[-1][group.name] = own
    groups, offsets = {group.name: group for group in graph.groups}, Offsets(graph)
    for own_kernels in passes:
        needed = {id(kernel): kernel for own in own_kernels.values() for kernel in own}
        sums = _summed(program, list(needed.values()), calibration)
        grams = dict(zip(needed, sums, strict=True))
        for name, own in own_kernels.items():
            readings = [_reading(graph, program, kernel, grams[id(kernel)], groups[name], offsets) for kernel in own]
            found[name] = np.asarray(measure(readings)) if readings else np.zeros(groups[name].num_channels)
    return found


def linear_views(graph: ChannelGraph, program: Program, group: ChannelGroup) -> list[View]:
    """Return where a group's channels are read, if all that reads them are known kernels of a size that can be summed.

    Raises:
        CriterionError: Something else reads them.
    """
    seen = views(graph, program, group)
    for view in seen:
        step = program.steps[view.step]
        reading = [linear for linear in linears(step.node) if step.arguments[id(linear.argument)] == view.tensor]
        if not reading or any(linear.layout.gram_bytes > MOST_GRAM_BYTES for linear in reading):
            raise unseen(graph, group, step.node.operation, "are read in a way that is not summed up by")
    return seen


def _kernels(graph: ChannelGraph, program: Program) -> list[_Kernel]:
    found: dict[tuple[int, int], _Kernel] = {}
    for index, step in enumerate(program.steps):
        layer = step.node.operation
        for linear in linears(step.node):
            variable = next(at for at, each in enumerate(variables_of(layer)) if each is linear.kernel)
            found.setdefault((id(layer), variable), _Kernel(layer, variable, {})).calls[index] = linear
    return list(found.values())


def _rows(graph: ChannelGraph, kernel: _Kernel, group: ChannelGroup) -> np.ndarray:
    """Return which inputs of every block come from each channel, shape `(num_channels, n)`."""
    linear = kernel.linear
    along = np.zeros((group.num_channels, 0), dtype=np.int64)
    for axis in graph.axes_of(kernel.layer):
        if axis.variable_index == kernel.variable and axis.axis in linear.read_axes:
            places = graph.rows(axis, group)
            if places.size:
                shape = [1] * len(linear.kernel.shape)
                shape[axis.axis] = -1
                numbers = np.full(linear.kernel.shape[axis.axis], -1)
                numbers[places.reshape(-1)] = np.repeat(np.arange(group.num_channels), places.shape[1])
                laid = np.broadcast_to(numbers.reshape(shape), linear.kernel.shape)
                channels = linear.layout.matrices(laid)[0, :, 0]
                here = np.flatnonzero(channels >= 0)
                order = here[np.argsort(channels[here], kind="stable")].reshape(group.num_channels, -1)
                along = np.concatenate([along, order], axis=1)
    return along


def _reading(
    graph: ChannelGraph, program: Program, kernel: _Kernel, gram: Gram, group: ChannelGroup, offsets: Offsets
) -> Reading:
    linear = kernel.linear
    offset = offsets.of(program.steps[next(iter(kernel.calls))].node, linear)
    weights = linear.layout.matrices(read_weights(linear.kernel)).astype(np.float64)
    return Reading(gram.products(offset is not None), weights, _rows(graph, kernel, group))


def _summed(program: Program, kernels: Sequence[_Kernel], calibration: Calibration) -> list[Gram]:
    """Return the products of what kernels read, over all their calls, at some random positions of each sample."""
    random = np.random.default_rng(0)
    grams = [Gram(*kernel.linear.layout.sizes[:2], 0) for kernel in kernels]
    at: dict[int, list[tuple[Linear, Gram]]] = {}
    for kernel, gram in zip(kernels, grams, strict=True):
        for index, linear in kernel.calls.items():
            at.setdefault(index, []).append((linear, gram))
    places: dict[int, np.ndarray] = {}
    done, count = 0, 0

    def watch(index: int, tensors: Tensors) -> Tensors:
        for linear, gram in at.get(index, ()):
            tensor = keras.ops.convert_to_numpy(tensors[program.steps[index].arguments[id(linear.argument)]])
            tensor = np.asarray(tensor, dtype=np.float32)[:count]
            if id(linear) not in places:  # For all samples at once, so that the size of a batch does not matter.
                num_positions = linear.num_positions(tensor.shape)
                places[id(linear)] = positions(num_positions, calibration.num_samples, random)
            columns = linear.columns(tensor, places[id(linear)][done : done + count]).astype(np.float64)
            nothing = np.zeros((*columns.shape[:2], 0))
            gram.add(columns, nothing, nothing)
        return {}

    for count, (x,) in calibration.batches(batch_size(program, calibration), calibration.x):
        tensors = program.standardize([keras.ops.convert_to_tensor(each) for each in x])
        program.run(dict(zip(program.inputs, tensors, strict=True)), [], program.last_step(at), watch)
        done += count
        calibration.on_share(done / calibration.num_samples)
    return grams
