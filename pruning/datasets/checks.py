"""Arrays of samples, checked against each other and against what they are to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pruning.datasets.parts import label
from pruning.datasets.rows import Samples, in_parts
from pruning.errors import DataError


def check_split(split: str, inputs: Mapping[str, Samples], targets: Mapping[str, Samples], is_labelled: bool) -> None:
    """Check that the arrays of a split hold numbers, and that there are as many targets as inputs.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        inputs: By name.
        targets: By name.
        is_labelled: Whether there have to be targets.

    Raises:
        DataError: They do not.
    """
    arrays = {label(f"x_{split}", name): array for name, array in inputs.items()}
    arrays |= {label(f"y_{split}", name): array for name, array in targets.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    lacks_a_part = is_labelled and bool(inputs) != bool(targets)
    if len(set(lengths.values())) > 1 or lacks_a_part:
        raise DataError(
            f"The {split} arrays have different numbers of samples.",
            field="dataset",
            received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            expected="the same number of samples in each",
        )
    if lengths and min(lengths.values()) < (2 if split == "train" else 1):
        raise DataError(
            f"The {split} set is empty or too small.",
            field=f"dataset.x_{split}",
            received=f"{min(lengths.values())} samples",
            expected="at least 2 training samples and 1 validation sample",
        )
    for name, array in arrays.items():
        check_values(array, name)


def check_values(array: Samples, name: str) -> None:
    """Check that an array holds finite numbers.

    Raises:
        DataError: It does not.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{name} does not contain numbers.",
            field=f"dataset.{name}",
            received=f"type {array.dtype}",
            expected="float, int, uint or bool",
        )
    if array.dtype.kind == "f":
        num_before = 0
        for part in in_parts(array):
            finite = np.isfinite(part)
            if not finite.all():
                first = num_before + int(np.argwhere(~finite)[0][0])
                raise DataError(
                    f"{name} contains NaN or infinity.",
                    field=f"dataset.{name}",
                    received=f"first in sample {first}",
                    expected="finite numbers",
                    hint="Remove or impute these samples.",
                )
            num_before += len(part)


def check_weights(weights: np.ndarray, num_samples: int, name: str) -> None:
    """Check that an array weights samples.

    Raises:
        DataError: It does not.
    """
    check_values(weights, name)
    if weights.shape != (num_samples,) or weights.min() < 0 or not weights.any():
        raise DataError(
            f"{name} is not a valid array of sample weights.",
            field=f"dataset.{name}",
            received=f"shape {weights.shape}, minimum {weights.min() if weights.size else 'none'}",
            expected=f"shape ({num_samples},), non-negative numbers, not all 0",
        )


def check_shape(array: Samples, tensor: Any, name: str) -> None:
    """Check that samples have the shape of a tensor.

    Raises:
        DataError: They have not.
    """
    expected = tuple(tensor.shape[1:])
    received = array.shape[1:]
    fits = len(expected) == len(received) and all(e in (None, r) for e, r in zip(expected, received, strict=True))
    if not fits:
        raise DataError(
            f"The shape of {name} does not match the model's input.",
            field=f"dataset.{name}",
            received=f"samples of shape {received}",
            expected=f"samples of shape {expected}",
            hint="Reshape or resize the arrays. Image folders are resized automatically.",
        )


def in_order(arrays: Mapping[str, Samples], tensors: Mapping[str, Any], split: str) -> dict[str, Samples]:
    """Return arrays by the names of tensors, in their order.

    Raises:
        DataError: They are others, or of another number.
    """
    if list(arrays) == [f"#{number}" for number in range(len(tensors))]:
        return dict(zip(tensors, arrays.values(), strict=True))
    if set(arrays) == {""} and len(tensors) == 1:
        return {next(iter(tensors)): arrays[""]}
    if set(arrays) != set(tensors):
        raise DataError(
            f"The {split} arrays do not match the model.",
            field=f"dataset.{split}",
            received=", ".join(name or "one unnamed array" for name in arrays),
            expected=", ".join(f"{split}.{name}" for name in tensors) if len(tensors) > 1 else f"one array, {split}",
        )
    return {name: arrays[name] for name in tensors}
