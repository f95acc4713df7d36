"""What users give as data → its parts, `x_train` and so on, each one array or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pruning.datasets.streams import is_stream, spooled
from pruning.errors import DataError

PARTS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "sample_weight_train")


def parts_of(data: Any) -> dict[str, Any]:
    """Return the parts that data has, in whatever form; see `Data.of`.

    Raises:
        DataError: It has no known form, or a part is missing.
    """
    if is_stream(data):
        parts = spooled(data, "train")
    elif isinstance(data, Mapping):
        parts = _from_mapping(data)
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        if _are_splits(*data):
            parts = _of_split(data[0], "train") | _of_split(data[1], "val")
        else:
            parts = dict(zip(("x_train", "y_train"), data, strict=True))
    elif hasattr(data, "__array__"):
        parts = {"x_train": data}
    else:
        raise DataError(
            "The data format is not supported.",
            field="dataset",
            received=type(data).__name__,
            expected="(x, y), ((x, y), (x_val, y_val)), a dict with x_train, y_train, x_val, y_val, batches such "
            "as a tf.data.Dataset, or an array x without targets",
        )
    parts = {name: part for name, part in parts.items() if part is not None}
    for required in ("x_train", "y_train") if {"y_val", "y_test"} & set(parts) else ("x_train",):
        if required not in parts or (isinstance(parts[required], Mapping) and not parts[required]):
            raise DataError(
                f"{required} is missing.",
                field=f"dataset.{required}",
                received=", ".join(parts) or "nothing",
                expected="x_train, y_train and, for a validation set, x_val, y_val",
            )
    return parts


def named(value: Any, split: str) -> dict[str, np.ndarray]:
    """Return arrays by name: `""` for a single one, `#0` and so on for a list in the model's order.

    Raises:
        DataError: One is not an array of samples.
    """
    if isinstance(value, Mapping):
        return {str(name): _array(array, label(split, str(name))) for name, array in value.items()}
    if isinstance(value, (tuple, list)) and value and all(isinstance(each, np.ndarray) for each in value):
        return {f"#{number}": _array(array, f"{split}[{number}]") for number, array in enumerate(value)}
    return {"": _array(value, split)}


def label(split: str, name: str) -> str:
    """Return what an array is called in errors."""
    return f"{split}.{name}" if name else split


def _from_mapping(data: Mapping[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for key, value in data.items():
        split, _, name = str(key).partition(".")
        if split not in PARTS:
            raise DataError(
                f"Unknown array name {key!r}.",
                field="dataset",
                received=", ".join(str(name) for name in data),
                expected=f"{', '.join(PARTS)}, or x_train.<name> for several inputs",
            )
        if name:
            parts.setdefault(split, {})[name] = value
        else:
            parts[split] = value
    return parts


def _are_splits(first: Any, second: Any) -> bool:
    """Tell whether two things are data to train and to validate on, and not inputs and targets."""
    if is_stream(first) or is_stream(second):
        return is_stream(first) or isinstance(first, tuple)
    return isinstance(first, tuple) and len(first) == 2 and _is_pair(second)


def _of_split(value: Any, split: str) -> dict[str, Any]:
    """Return the parts of a training or validation set: batches, a pair of arrays, or `None`."""
    if is_stream(value):
        return spooled(value, split)
    if value is not None and not (isinstance(value, tuple) and len(value) == 2):
        raise DataError(
            f"The {split} set is not a pair of arrays or batches.",
            field=f"dataset.x_{split}",
            received=f"{len(value)} parts" if isinstance(value, tuple) else type(value).__name__,
            expected="batches, or (x, y)",
        )
    return dict(zip((f"x_{split}", f"y_{split}"), value or (), strict=False))


def _is_pair(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) == 2)


def _array(value: Any, label: str) -> np.ndarray:
    try:
        array: np.ndarray = np.asanyarray(value)
    except ValueError:
        array = np.asanyarray(None)
    if array.ndim == 0:
        raise DataError(
            f"{label} is not an array of samples.",
            field=f"dataset.{label}",
            received=type(value).__name__,
            expected="an array whose first axis is the samples",
        )
    return array
