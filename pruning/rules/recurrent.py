"""Recurrent layers and their cells, by units or filters.

The gates lie side by side along the last axis of the kernels, so that each unit is there once for each gate. What
reads a unit is the layer behind and the recurrent kernel; zeroed in both, a unit has no effect on the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from pruning.keras_model.operations import ConvLSTM, ConvLSTMCell
from pruning.rules.activation import require_channelwise
from pruning.rules.context import Context, Rule, channel_axis, spatial, spread
from pruning.rules.records import Labels, Shape, Tensor

Cell = layers.SimpleRNNCell | layers.GRUCell | layers.LSTMCell


def recurrent(
    context: Context, layer: layers.SimpleRNN | layers.GRU | layers.LSTM, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """`keras.layers.SimpleRNN`, `GRU` and `LSTM`, which make their cell themselves."""
    sequence, *states = inputs
    units = _units(context, layer.cell, "units", sequence, 1, [sequence.shape[0]], [sequence.shape[0]])
    return _outputs(context, layer, units, 0, states, outputs)


def recurrent_convolution(
    context: Context, layer: ConvLSTM, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """`keras.layers.ConvLSTM1D` to `ConvLSTM3D`."""
    sequence, *states = inputs
    rank = len(sequence.shape) - 1
    axis = channel_axis(layer, rank)
    step = outputs[0][1:] if layer.return_sequences else outputs[0]
    positions = [sequence.shape[0], *spatial(step, axis)]
    filters = _units(context, layer.cell, "filters", sequence, axis + 1, positions, positions)
    return _outputs(context, layer, filters, axis, states, outputs)


def cell(context: Context, layer: Cell, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`keras.layers.SimpleRNNCell`, `GRUCell` and `LSTMCell`: one step, called by `RNN` with its states."""
    features, *states = inputs
    units = _units(context, layer, "units", features, 0, [], [])
    for state in states:
        context.tie(state.labels, units)
    return [units] * len(outputs)


def stacked_cells(
    context: Context, layer: layers.StackedRNNCells, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Cells one after the other, with their states in the same order."""
    features, *states = inputs
    made: list[Labels] = []
    for part in layer.cells:
        sizes = keras.tree.flatten(part.state_size)
        given, states = states[: len(sizes)], states[len(sizes) :]
        features, *new_states = context.trace_held(
            part, [features, *given], [(_output_size(part, sizes),), *((n,) for n in sizes)]
        )
        made.extend(tensor.labels for tensor in new_states)
    return [features.labels, *made]


def rnn(context: Context, layer: layers.RNN, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """`keras.layers.RNN`: a cell, or several stacked, at each step of a sequence."""
    sequence, *states = inputs
    features = Tensor(context.along(sequence, len(sequence.shape) - 1), sequence.shape[1:])
    sizes = keras.tree.flatten(layer.cell.state_size)
    shapes: list[Shape] = [(_output_size(layer.cell, sizes),), *((size,) for size in sizes)]
    first, *made = context.trace_held(layer.cell, [features, *states], shapes, repeats=sequence.shape[0])
    for variable, state in zip(keras.tree.flatten(layer.states or []), made, strict=False):
        context.weight(variable, -1, context.along(state, 0), "through")
    labels = [spread(first.labels, len(outputs[0]) - 1, len(outputs[0]))]
    return labels + [tensor.labels for tensor in made[: len(outputs) - 1]]


def _units(
    context: Context,
    layer: Cell | ConvLSTMCell,
    key: str,
    tensor: Tensor,
    axis: int,
    positions: list[int | None],
    recurrent_positions: list[int | None],
) -> Labels:
    """Speak of a cell's weights; `positions` are the places and times at which its kernels are used."""
    units = context.new(key, getattr(layer, key))
    gates = np.tile(units, layer.kernel.shape[-1] // len(units))
    context.weight(layer.kernel, -2, context.along(tensor, axis), "in")
    context.weight(layer.kernel, -1, gates, "out")
    context.weight(layer.recurrent_kernel, -2, units, "in")
    context.weight(layer.recurrent_kernel, -1, gates, "out")
    context.weight(layer.bias, -1, gates, "through")
    context.width(key, units)
    context.multiply(layer.kernel, positions)
    context.multiply(layer.recurrent_kernel, recurrent_positions)
    require_channelwise(context, layer.activation, units)
    require_channelwise(context, getattr(layer, "recurrent_activation", None), units)
    return units


def _outputs(
    context: Context, layer: layers.RNN, units: Labels, axis: int, given_states: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Lay the units along the outputs, which are the sequence or its last entry, then the states."""
    for variable in keras.tree.flatten(layer.states or []):
        context.weight(variable, axis + 1, units, "through")
    for state in given_states:
        context.tie(spread(units, axis, len(state.shape)), state.labels)
    first = axis + 1 if layer.return_sequences else axis
    axes = [first] + [axis] * (len(outputs) - 1)
    return [spread(units, axis, len(shape)) for axis, shape in zip(axes, outputs, strict=True)]


def _output_size(cell: keras.Layer, state_sizes: Sequence[int]) -> int:
    size = getattr(cell, "output_size", None)
    return int(state_sizes[0] if size is None else size)


ROWS: dict[type, Rule] = {
    layers.SimpleRNN: recurrent,
    layers.GRU: recurrent,
    layers.LSTM: recurrent,
    layers.ConvLSTM1D: recurrent_convolution,
    layers.ConvLSTM2D: recurrent_convolution,
    layers.ConvLSTM3D: recurrent_convolution,
    layers.RNN: rnn,
    layers.SimpleRNNCell: cell,
    layers.GRUCell: cell,
    layers.LSTMCell: cell,
    layers.StackedRNNCells: stacked_cells,
}
