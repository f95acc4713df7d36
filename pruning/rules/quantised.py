"""Quantised and adapted weights: what of them can be cut channel by channel, and what follows from them.

Cut exactly are int8, with a scale for each output channel, and float8, with one scale for a whole kernel. Modes that
pack several weights into a byte are not.
"""

from __future__ import annotations

import keras
from keras import layers

from pruning.rules.context import Context, LockedError

_FLOAT8 = (
    "inputs_scale", "inputs_amax_history", "kernel_scale", "kernel_amax_history", "outputs_grad_scale",
    "outputs_grad_amax_history",
)  # fmt: skip


def stored(context: Context, layer: layers.Dense | layers.EinsumDense | layers.Embedding, name: str) -> keras.Variable:
    """Return the variable that holds a layer's `kernel` or `embeddings`.

    Raises:
        LockedError: The values are packed, or LoRA adds to them.
    """
    mode = layer.quantization_mode
    if layer.lora_enabled:
        raise LockedError("LoRA adds to its weights: prune the model without LoRA, or merge it into the weights first")
    if mode not in (None, "int8", "float8"):
        raise LockedError(f"it is quantised to {mode}, which packs its weights: prune first, then quantise")
    if mode == "float8":
        for each in _FLOAT8:
            context.same_for_all_channels(getattr(layer, each))
    variable: keras.Variable = getattr(layer, f"_{name}")
    return variable


def measures_inputs(layer: layers.Dense | layers.EinsumDense) -> bool:
    """Tell whether a layer quantises its inputs by the largest of all channels.

    Raises:
        LockedError: It quantises them in a way that is not known.
    """
    quantizer = getattr(layer, "inputs_quantizer", None) if layer.quantization_mode == "int8" else None
    if quantizer is not None and type(quantizer) is not keras.quantizers.AbsMaxQuantizer:
        raise LockedError(f"it quantises its inputs by {type(quantizer).__name__}, which is not known")
    return quantizer is not None
