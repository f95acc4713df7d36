"""Losses that layers add in their call, whatever the targets are."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from pruning.keras_model.graph import pack_inputs
from pruning.keras_model.parts import layers_inside


def layers_with_losses(model: keras.Model, inputs: Sequence[np.ndarray], *, training: bool) -> list[str]:
    """Return the names of the layers that add a loss with `add_loss`; regularizers are none of them.

    Args:
        model: It is run once; nothing in it changes.
        inputs: A batch, in the order of the model's inputs.
        training: In which mode: some layers add a loss in training alone.
    """
    with keras.StatelessScope(collect_losses=True):
        model._clear_losses()
        model(pack_inputs(model, [keras.ops.convert_to_tensor(each) for each in inputs]), training=training)
        return [
            layer.name
            for layer in layers_inside(model)
            if layer._loss_ids and getattr(layer, "activity_regularizer", None) is None
        ]
