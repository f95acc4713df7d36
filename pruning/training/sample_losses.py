"""The loss of each sample by itself, where Keras gives one for a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from pruning.errors import SpecError
from pruning.keras_model.compiled import loss_object
from pruning.keras_model.masks import mask_of
from pruning.training.keras_names import loss_name


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
            "The loss returns one value for a whole batch, but a value for each sample is needed.",
            field="training.loss",
            received=str(loss_name(loss)),
            expected="a loss that returns an array whose first axis is the samples",
        )
    if mask is not None:
        counted = keras.ops.cast(mask > 0 if loss.reduction == "sum" else mask, values.dtype)
        values = values * keras.ops.reshape(
            counted, tuple(counted.shape) + (1,) * (len(values.shape) - len(mask.shape))
        )
    flat = keras.ops.reshape(values, (keras.ops.shape(values)[0], -1))
    return keras.ops.sum(flat, axis=1) if loss.reduction == "sum" else keras.ops.mean(flat, axis=1)


def summed_losses(losses: Sequence[tuple[Any, float]], outputs: Sequence[Any]) -> Callable[[list[Any], list[Any]], Any]:
    """Return the loss of each sample, summed over the outputs of a model; see `Compiling.sample_losses`.

    Args:
        losses: For each output its loss, as Keras takes it, or `None`, and what it counts.
        outputs: Its symbol in the model, which tells whether Keras hangs a mask on it.
    """
    objects = [None if loss is None else loss_object(loss) for loss, _ in losses]
    masked = [index for index, tensor in enumerate(outputs) if mask_of(tensor) is not None]

    def compute(targets: list[Any], made: list[Any]) -> Any:
        masks = dict(zip(masked, targets[len(made) :], strict=True))
        return sum(
            weight * sample_loss(loss, target, output, masks.get(index))
            for index, (loss, (_, weight), target, output) in enumerate(
                zip(objects, losses, targets[: len(made)], made, strict=True)
            )
            if loss is not None
        )

    return compute
