"""Variables that Keras would make in the first step, which TensorFlow then traces a second time."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.models.functional import unpack_singleton


def build_measures(model: keras.Model, targets: Any) -> None:
    """Make the variables of a model's loss and metrics, where they are not made yet.

    Args:
        model: Compiled; one that has a graph.
        targets: Of a batch, in the structure in which they are trained on.
    """
    outputs = unpack_singleton(getattr(model, "_functional", model).output)
    for measure in (model._compile_loss, model._compile_metrics):
        if measure is not None and not measure.built:
            measure.build(targets, outputs)


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a model's optimizer for the layers that are trainable now, where they are not made yet."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
