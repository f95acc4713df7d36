"""The loss of each sample by itself, where Keras gives one for a batch."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.losses.losses import LossFunctionWrapper

from pruning.errors import SpecError
from pruning.training.keras_names import loss_name


def loss_object(loss: Any) -> keras.Loss:
    """Return a loss as an object, whether it is given by name, as a function or as one."""
    loss = keras.losses.get(loss)
    return loss if isinstance(loss, keras.Loss) else LossFunctionWrapper(loss)


def sample_loss(loss: keras.Loss, target: Any, output: Any, mask: Any) -> Any:
    """Return the loss of each sample, shape `(num_samples,)`.

    Args:
        loss: Which one.
        target: A batch of targets, in the form that the loss takes.
        output: A batch of what the model makes.
        mask: What each entry counts, or `None`.

    Raises:
        SpecError: The loss has one value for a whole batch.
    """
    # A new tensor: TensorFlow would look for the logits behind it and, unlike other backends, clip no probability.
    output = 1.0 * keras.ops.cast(output, "float32")
    values = loss.call(keras.ops.cast(target, "float32"), output)
    if len(values.shape) == 0:
        raise SpecError(
            "The loss has one value for a whole batch, where one for each sample is needed.",
            field="training.loss",
            received=str(loss_name(loss)),
            expected="a loss that returns an array whose first axis counts samples",
        )
    if mask is not None:
        counted = keras.ops.cast(mask > 0 if loss.reduction == "sum" else mask, values.dtype)
        values = values * keras.ops.reshape(
            counted, tuple(counted.shape) + (1,) * (len(values.shape) - len(mask.shape))
        )
    flat = keras.ops.reshape(values, (keras.ops.shape(values)[0], -1))
    return keras.ops.sum(flat, axis=1) if loss.reduction == "sum" else keras.ops.mean(flat, axis=1)
