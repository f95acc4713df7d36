"""Weights drawn anew: the same architecture as if it had never been trained."""

from __future__ import annotations

import keras


def draw_weights(model: keras.Model, seed: int) -> None:
    """Draw the weights of a model anew, in place, as its layers initialise them.

    What is not trained stays, such as the statistics of a Normalization layer, but for the moving statistics of
    BatchNormalization. Sets Keras's global random seed.

    Args:
        model: A functional or Sequential model.
        seed: Of the draw.
    """
    keras.utils.set_random_seed(seed)
    anew = keras.models.clone_model(model)
    for variable, drawn in zip(model.variables, anew.variables, strict=True):
        if variable.trainable or variable.name.startswith("moving_"):
            variable.assign(drawn)
