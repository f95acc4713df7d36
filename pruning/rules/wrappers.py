"""Layers that call another layer; see `parts.py` for who holds whom."""

from __future__ import annotations

import numpy as np
from keras import layers

from pruning.rules.context import Context, LockedError, Rule, single, spread
from pruning.rules.records import Labels, Shape, Tensor


def time_distributed(
    context: Context, layer: layers.TimeDistributed, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """The wrapped layer on each entry of the first axis."""
    tensor = single(inputs)
    if tensor.labels.shape[0] > 1:
        raise LockedError("channels lie along its time axis")
    step = Tensor(tensor.labels[0], tensor.shape[1:])
    made = context.trace_held(layer.layer, [step], [outputs[0][1:]], repeats=tensor.shape[0])
    return [made[0].labels[np.newaxis]]


def spectral_normalization(
    context: Context, layer: layers.SpectralNormalization, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """The wrapped layer, whose kernel is normalised while training only.

    `vector_u`, shape `(1, n)`, lies along the kernel's last axis.
    """
    made = context.trace_held(layer.layer, inputs, outputs)
    kernel = layer.kernel
    along = context.labels_on(layer.layer, kernel, -1)
    if along is None:
        context.same_for_all_channels(layer.vector_u)
    else:
        context.weight(layer.vector_u, 1, along, "through")
    return [tensor.labels for tensor in made]


def bidirectional(
    context: Context, layer: layers.Bidirectional, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Two recurrent layers, one of them backwards in time; their outputs merged by `merge_mode`."""
    sequence, *states = inputs
    both = []
    for part, given in (
        (layer.forward_layer, states[: len(states) // 2]),
        (layer.backward_layer, states[len(states) // 2 :]),
    ):
        shapes = part.compute_output_shape((None, *sequence.shape))
        shapes = [tuple(shape[1:]) for shape in (shapes if layer.return_state else [shapes])]
        both.append(context.trace_held(part, [sequence, *given], shapes))
    (first, *first_states), (second, *second_states) = both
    if layer.merge_mode == "concat":
        rank = len(first.shape)
        # Keras takes the width of both to be twice that of the first, so both lose the same units.
        context.tie(first.labels, second.labels)
        merged = [
            spread(np.concatenate([context.along(tensor, rank - 1) for tensor in (first, second)]), rank - 1, rank)
        ]
    elif layer.merge_mode is None:
        merged = [first.labels, second.labels]
    else:
        context.tie(first.labels, second.labels)
        merged = [first.labels]
    return [*merged, *(state.labels for state in (*first_states, *second_states))]


ROWS: dict[type, Rule] = {
    layers.TimeDistributed: time_distributed,
    layers.Bidirectional: bidirectional,
    layers.SpectralNormalization: spectral_normalization,
}
