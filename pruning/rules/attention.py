"""Attention: by head, by the width of a head, and by the channels that go in and come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import layers

from pruning.keras_model.parts import Projections, projections_of
from pruning.rules.context import Context, LockedError, Rule, spread
from pruning.rules.records import Labels, Role, Shape, Tensor


def multi_head_attention(
    context: Context, layer: layers.MultiHeadAttention, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Projections `(in_channels, heads, width)` and an output kernel `(heads, value width, *output_shape)`."""
    query, key, value = _query_key_value(context)
    heads = context.new("num_heads", layer.num_heads)
    width = value_width = context.new("key_dim", layer.key_dim)
    if layer.value_dim != layer.key_dim:
        # Else they stay equal: JAX's fused attention takes no others.
        value_width = context.new("value_dim", layer.value_dim)
    inner = projections_of(layer)
    _project_all(context, inner, (query, key, value), (heads, heads), (width, value_width))
    context.width("num_heads", heads)
    context.width("key_dim", width)
    context.width("value_dim", value_width)
    kernel = inner.output.kernel
    outgoing = context.new("output_shape", kernel.shape[-1])
    _put_out(context, inner.output, query, heads, value_width, outgoing)
    if len(kernel.shape) == 3:
        context.setting("output_shape", _output_shape, outgoing)
    else:
        context.width("output_shape", outgoing, index=len(kernel.shape) - 3)
    return _labels(context, heads, outgoing, len(query.shape), outputs)


def grouped_query_attention(
    context: Context, layer: layers.GroupQueryAttention, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """Several query heads share a head of keys and values: they go together."""
    query, key, value = _query_key_value(context)
    shared = context.new("num_key_value_heads", layer.num_key_value_heads)
    heads = np.repeat(shared, layer.num_repeats)
    width = context.new("head_dim", layer.head_dim)
    inner = projections_of(layer)
    _project_all(context, inner, (query, key, value), (heads, shared), (width, width))
    context.width("num_query_heads", heads)
    context.width("num_key_value_heads", shared)
    context.width("head_dim", width)
    outgoing = context.new("feature_dim", layer.feature_dim)
    # Keras insists on values as wide as the query, and gives out as much.
    for tensor in (query, value):
        context.tie(outgoing, context.along(tensor, len(tensor.shape) - 1))
    _put_out(context, inner.output, query, heads, width, outgoing)
    return _labels(context, heads, outgoing, len(query.shape), outputs)


def attention(
    context: Context, layer: layers.Attention | layers.AdditiveAttention, inputs: list[Tensor], outputs: list[Shape]
) -> list[Labels]:
    """`keras.layers.Attention` and `AdditiveAttention`: the scores add up over the channels of query and key."""
    query, value = inputs[0], inputs[1]
    key = inputs[-1]
    read = context.read(0, query, len(query.shape) - 1)
    context.tie(read, context.read(len(inputs) - 1, key, len(key.shape) - 1))
    if layer.scale is not None:
        if len(layer.scale.shape) == 1:
            context.weight(layer.scale, 0, read, "through")
        else:
            context.same_for_all_channels(layer.scale)
    if getattr(layer, "concat_score_weight", None) is not None:
        context.same_for_all_channels(layer.concat_score_weight)
    labels = [np.zeros((1,) * len(shape), dtype=np.int64) for shape in outputs]
    labels[0] = spread(context.along(value, len(value.shape) - 1), len(outputs[0]) - 1, len(outputs[0]))
    return labels


def _query_key_value(context: Context) -> tuple[Tensor, Tensor, Tensor]:
    named = context.named()
    for name, argument in named.items():
        if name.endswith("_mask") and isinstance(argument, Tensor):
            context.fix(argument.labels, f"{context.path} takes it as a mask")
    query, value = named["query"], named["value"]
    key = value if named.get("key") is None else named["key"]
    if not all(isinstance(tensor, Tensor) for tensor in (query, key, value)):
        raise LockedError("it attends to a constant")
    return query, key, value


def _project_all(
    context: Context,
    inner: Projections,
    tensors: tuple[Tensor, Tensor, Tensor],
    heads: tuple[Labels, Labels],
    widths: tuple[Labels, Labels],
) -> None:
    """Follow query, key and value into their projections.

    Args:
        context: The rules' side of the call.
        inner: The projections.
        tensors: Query, key and value.
        heads: Those of the query, and those of key and value.
        widths: Of query and key, and of the value.
    """
    (query, key, value), (own, shared), (width, value_width) = tensors, heads, widths
    _project(context, inner.query, query, own, width, "out")
    _project(context, inner.key, key, shared, width, "in")
    _project(context, inner.value, value, shared, value_width, "out")
    if inner.gate is not None:
        _project(context, inner.gate, query, own, value_width, "out")
    _scale(context, inner.query, width)


def _project(
    context: Context, dense: layers.EinsumDense, tensor: Tensor, heads: Labels, width: Labels, role: Role
) -> None:
    """Speak of a projection to heads.

    Keys are said to read the channels of their width: where these are zeroed, the dot product with the query is
    without them.
    """
    context.weight(dense.kernel, 0, context.along(tensor, len(tensor.shape) - 1), "in")
    context.weight(dense.kernel, 1, heads, "out")
    context.weight(dense.kernel, 2, width, role)
    context.weight(dense.bias, 0, heads, "through")
    context.weight(dense.bias, 1, width, "in" if role == "in" else "through")
    context.multiply(dense.kernel, tensor.shape[:-1])


def _scale(context: Context, dense: layers.EinsumDense, width: Labels) -> None:
    """Make up for the scores' division by the root of the width, which gets smaller."""
    for variable in (dense.kernel, dense.bias):
        context.scale(variable, width, 0.5)


def _put_out(
    context: Context, dense: layers.EinsumDense, query: Tensor, heads: Labels, width: Labels, outgoing: Labels
) -> None:
    context.weight(dense.kernel, 0, heads, "in")
    context.weight(dense.kernel, 1, width, "in")
    context.weight(dense.kernel, -1, outgoing, "out")
    context.weight(dense.bias, -1, outgoing, "through")
    context.multiply(dense.kernel, query.shape[:-1])


def _output_shape(value: object, stays: Sequence[np.ndarray]) -> tuple[int]:
    """Return `output_shape`, said even if all stay: not given, it would be that of the query, which may lose some."""
    return (int(np.count_nonzero(stays[0])),)


def _labels(context: Context, heads: Labels, outgoing: Labels, rank: int, outputs: list[Shape]) -> list[Labels]:
    labels = [spread(outgoing, len(outputs[0]) - 1, len(outputs[0]))]
    if len(outputs) == 1:
        return labels
    if rank == 2:
        return [*labels, spread(heads, 0, len(outputs[1]))]
    context.fix(heads, f"{context.path} gives its scores away")
    return [*labels, np.zeros((1,) * len(outputs[1]), dtype=np.int64)]


ROWS: dict[type, Rule] = {
    layers.MultiHeadAttention: multi_head_attention,
    layers.GroupQueryAttention: grouped_query_attention,
    layers.Attention: attention,
    layers.AdditiveAttention: attention,
}
