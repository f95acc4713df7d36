"""Embeddings: indices in, channels out."""

from __future__ import annotations

from keras import layers

from pruning.rules.context import Context, Rule, single, spread
from pruning.rules.quantised import stored
from pruning.rules.records import Labels, Shape, Tensor


def embedding(context: Context, layer: layers.Embedding, inputs: list[Tensor], outputs: list[Shape]) -> list[Labels]:
    """Table `(input_dim, output_dim)`; the indices must stay what they are."""
    context.fix(single(inputs).labels, f"they are indices into {context.path}")
    outgoing = context.new("output_dim", layer.output_dim)
    context.weight(stored(context, layer, "embeddings"), 1, outgoing, "out")
    if layer.quantization_mode == "int8":
        context.same_for_all_channels(layer.embeddings_scale)
    context.width("output_dim", outgoing)
    rank = len(outputs[0])
    return [spread(outgoing, rank - 1, rank)]


ROWS: dict[type, Rule] = {
    layers.Embedding: embedding,
}
