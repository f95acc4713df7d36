"""What each training sample counts in the loss: its own weight, times that of its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pruning.errors import SpecError
from pruning.training.keras_names import loss_name


def class_labels(target: np.ndarray, loss: Any) -> np.ndarray | None:
    """Return the labels in the targets of one output, or `None` if they are not one class for each entry.

    Args:
        target: In the form that the loss takes.
        loss: The output's loss.

    Returns:
        Whole numbers, shape `(num_samples, ...)` without an axis of classes.
    """
    kind = loss_name(loss)
    if kind == "categorical_crossentropy":
        return np.asarray(target.argmax(axis=-1))
    if kind == "binary_crossentropy" and target.ndim > 1 and target.shape[-1] != 1:
        return None
    if kind in ("sparse_categorical_crossentropy", "binary_crossentropy"):
        labels: np.ndarray = (target[..., 0] if target.ndim > 1 and target.shape[-1] == 1 else target).round()
        return labels.astype(np.int64)
    return None


def class_weighted(labels: np.ndarray, weights: Mapping[int, float] | str, num_classes: int) -> np.ndarray:
    """Return what each entry counts by its class.

    Args:
        labels: Whole numbers.
        weights: By label, 1 for those left out; or `"balanced"`: each class counts the same, all entries 1 on average.
        num_classes: Labels from here on are none, and count 1.

    Returns:
        float32, of the labels' shape.

    Raises:
        SpecError: A weight is given for a class that the output does not have.
    """
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    are_classes = (classes >= 0) & (classes < num_classes)
    if isinstance(weights, str):
        by_class = np.where(are_classes, counts[are_classes].sum() / (are_classes.sum() * counts), 1.0)
    else:
        unknown = sorted(label for label in weights if not 0 <= label < num_classes)
        if unknown:
            raise SpecError(
                "A class weight has an unknown class.",
                field="training.class_weights",
                received=", ".join(str(label) for label in unknown),
                expected=f"labels from 0 to {num_classes - 1}",
            )
        by_class = np.array([weights.get(int(label), 1.0) for label in classes])
    weighted: np.ndarray = by_class.astype(np.float32)[inverse]
    return weighted.reshape(labels.shape)


def no_classes() -> SpecError:
    """Say that weights by class were asked for where there are no classes."""
    return SpecError(
        "Class weights need a classification output.",
        field="training.class_weights",
        received="class weights without an output with one class for each sample",
        expected="an output with a categorical or binary cross-entropy",
        hint="Use sample_weight_train in the data instead.",
    )
