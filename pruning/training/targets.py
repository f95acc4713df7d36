"""Targets in the form that a loss takes, after checking labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pruning.datasets.rows import Samples, in_parts
from pruning.errors import DataError
from pruning.training.keras_names import loss_name

_ENTRYWISE = ("categorical_crossentropy", "mean_squared_error", "mean_absolute_error")
"""Losses that compare targets and outputs entry by entry."""


def fit_target(target: Samples, shape: tuple[int | None, ...], loss: Any, name: str, field: str) -> Samples:
    """Return the targets of one output in the form that its loss takes.

    Args:
        target: Shape `(num_samples, ...)`.
        shape: The output's, without the batch axis.
        loss: The loss of this output: a name, function, object or config.
        name: The output's, for errors.
        field: Where the targets came from, for errors.

    Returns:
        The targets themselves, or for `categorical_crossentropy` one-hot vectors, shape
        `(num_samples, ..., num_classes)`.

    Raises:
        DataError: Labels lie outside the model's outputs, or targets have the wrong shape.
    """
    kind = loss_name(loss)
    if not shape or shape[-1] is None:
        return target
    if kind == "sparse_categorical_crossentropy":
        _check_labels(target, shape[-1], field, _ignored_class(loss))
    elif kind == "categorical_crossentropy" and _holds_labels(target, shape):
        _check_labels(target, shape[-1], field)
        labels = np.asarray(target).reshape(len(target), *target.shape[1 : len(shape)])
        return np.eye(shape[-1], dtype=np.float32)[labels.astype(np.int64)]
    elif kind == "binary_crossentropy":
        low, high = _range(target)
        if low < 0 or high > 1:
            raise DataError(
                "The targets of binary_crossentropy are not probabilities.",
                field=field,
                received=f"numbers from {low} to {high}",
                expected="numbers from 0 to 1",
            )
    elif kind in _ENTRYWISE and not _matches(target, shape):
        raise DataError(
            f"The targets do not match output {name!r}.",
            field=field,
            received=f"targets of shape {target.shape[1:]}",
            expected=f"targets of shape {shape}",
        )
    return target


def _range(target: Samples) -> tuple[float, float]:
    parts = [(part.min(), part.max()) for part in in_parts(target) if part.size]
    return min(low for low, _ in parts), max(high for _, high in parts)


def _check_labels(target: Samples, num_classes: int, field: str, ignored: int | None = None) -> None:
    labels = [np.unique(part) for part in in_parts(target)]
    found = np.unique(np.concatenate(labels))
    found = found[found != ignored]
    if not found.size:
        return
    low, high = found[0], found[-1]
    if low < 0 or high >= num_classes or np.any(found != np.floor(found)):
        raise DataError(
            "Labels are outside the range of the model's outputs.",
            field=field,
            received=f"labels from {low} to {high}",
            expected=f"whole numbers from 0 to {num_classes - 1}",
            hint="Number the classes from 0, or use a model with as many outputs as classes.",
        )


def _matches(target: Samples, shape: tuple[int | None, ...]) -> bool:
    return None in shape or target.shape[1:] == shape or (target.ndim == 1 and shape == (1,))


def _holds_labels(target: Samples, shape: tuple[int | None, ...]) -> bool:
    has_an_axis_more = target.ndim == len(shape) + 1 and target.shape[-1] == 1
    return shape[-1] != 1 and (target.ndim == len(shape) or has_an_axis_more)


def _ignored_class(loss: Any) -> int | None:
    options = loss.get("config") if isinstance(loss, dict) else vars(loss) if hasattr(loss, "__dict__") else None
    return options.get("ignore_class") if isinstance(options, dict) else None
