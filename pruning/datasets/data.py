"""Training and validation data: arrays, checked against themselves and against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from pruning.datasets.rows import Samples, rows_of
from pruning.datasets.streams import is_stream, spooled
from pruning.errors import DataError
from pruning.keras_model.graph import inputs_by_name, outputs_by_name

PARTS = ("x_train", "y_train", "x_val", "y_val", "sample_weight_train")

Arrays = dict[str, np.ndarray]
"""One array for each input or output; the name `""` where there is just one."""
Inputs = Mapping[str, Samples]
"""The same of inputs, which may lie on disk."""


@dataclass(frozen=True)
class Data:
    """What a model is trained on and measured with.

    Attributes:
        x_train: Inputs, each of shape `(num_samples, *input_shape)`; arrays, or some samples of arrays on disk.
        y_train: Targets, one for each output, of any shape that the loss takes; empty if the data has none.
        x_val: The same for validation; empty if there is none yet.
        y_val: The same for validation; empty if there is none yet.
        sample_weight_train: What each training sample counts in the loss, >= 0, shape `(num_samples,)`, for all outputs
            (the name `""`) or by output; empty if all count alike. Validation counts all alike.
    """

    x_train: Inputs
    y_train: Arrays
    x_val: Inputs
    y_val: Arrays
    sample_weight_train: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> Data:
        """Make data from what users have.

        Args:
            data: `Data`, `(x, y)`, `((x, y), (x_val, y_val))` with tuples, or a dict with the keys `x_train`,
                `y_train` and perhaps `x_val`, `y_val`, `sample_weight_train`; without targets an array `x`, or a
                dict without `y_train` and `y_val`. Each of them is one array, or for several inputs or outputs a
                dict of arrays by name or a list of arrays in the model's order. Keys such as `x_train.left` name an
                input. Or batches, as `model.fit` takes them: a `tf.data.Dataset`, a `PyDataset`, a generator or a data
                loader that ends, or two of them to train and to validate on, one of which may be `(x, y)`; they are
                written to disk first.

        Raises:
            DataError: It is none of these, or the arrays do not fit each other.
        """
        if isinstance(data, Data):
            return data
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
                "The data has no known form.",
                field="dataset",
                received=type(data).__name__,
                expected="(x, y), ((x, y), (x_val, y_val)), a dict with x_train, y_train, x_val, y_val, batches such "
                "as a tf.data.Dataset, or without targets an array x",
            )
        parts = {name: part for name, part in parts.items() if part is not None}
        for required in ("x_train", "y_train") if "y_val" in parts else ("x_train",):
            if required not in parts or (isinstance(parts[required], Mapping) and not parts[required]):
                raise DataError(
                    f"There is no {required}.",
                    field=f"dataset.{required}",
                    received=", ".join(parts) or "nothing",
                    expected="x_train, y_train and, if there is a validation set, x_val, y_val",
                )
        made = cls(**{name: _named(parts.get(name, {}), name) for name in PARTS})
        made._check()
        return made

    @classmethod
    def of_inputs(cls, inputs: Any) -> Data:
        """Make data without targets: one array, or several by name or in the model's order.

        Raises:
            DataError: An array does not hold finite numbers, or their lengths differ.
        """
        arrays = _named(inputs, "inputs")
        for name, array in arrays.items():
            _check_values(array, _label("inputs", name))
        if len({len(array) for array in arrays.values()}) != 1 or not len(next(iter(arrays.values()))):
            raise DataError(
                "The inputs are no samples.",
                field="inputs",
                received=", ".join(f"{name or 'array'}: {len(array)}" for name, array in arrays.items()) or "nothing",
                expected="at least one sample, and the same number in each array",
            )
        return cls(arrays, {}, {}, {})

    @property
    def num_train(self) -> int:
        """How many samples to train on."""
        return len(next(iter(self.x_train.values())))

    @property
    def num_val(self) -> int:
        """How many samples to validate on."""
        return len(next(iter(self.x_val.values()))) if self.x_val else 0

    @property
    def is_labelled(self) -> bool:
        """Whether there are targets."""
        return bool(self.y_train)

    def require_targets(self, why: str) -> None:
        """Raise `DataError` if there are no targets.

        Args:
            why: What needs them, such as `"Training"`, to begin a sentence with.
        """
        if not self.is_labelled:
            raise DataError(
                f"{why} needs targets, and the data has none.",
                field="dataset.y_train",
                received=", ".join(_label("x_train", name) for name in self.x_train),
                expected="x_train and y_train",
                hint="Give (x, y), or a dict with y_train; a zip of images needs class folders.",
            )

    def split(self, validation_split: float, seed: int) -> Data:
        """Return data with a validation set: its own, or a random share of the training samples."""
        if self.x_val:
            return self
        order = np.random.default_rng(seed).permutation(self.num_train)
        num_val = min(max(1, round(validation_split * self.num_train)), self.num_train - 1)
        held, rest = np.sort(order[:num_val]), np.sort(order[num_val:])
        return replace(
            self,
            x_train=rows_of(self.x_train, rest),
            y_train=_take(self.y_train, rest),
            sample_weight_train=_take(self.sample_weight_train, rest),
            x_val=rows_of(self.x_train, held),
            y_val=_take(self.y_train, held),
        )

    def subset(self, max_train_samples: int | None, seed: int) -> Data:
        """Return data with at most so many training samples, chosen at random."""
        if max_train_samples is None or max_train_samples >= self.num_train:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(self.num_train)[:max_train_samples])
        return replace(
            self,
            x_train=rows_of(self.x_train, chosen),
            y_train=_take(self.y_train, chosen),
            sample_weight_train=_take(self.sample_weight_train, chosen),
        )

    def _check(self) -> None:
        for split, inputs, targets in (
            ("train", self.x_train, self.y_train),
            ("val", self.x_val, self.y_val),
        ):
            lengths = {_label(f"x_{split}", name): len(array) for name, array in inputs.items()}
            lengths |= {_label(f"y_{split}", name): len(array) for name, array in targets.items()}
            lacks_a_part = bool(inputs) != bool(targets) and self.is_labelled
            if len(set(lengths.values())) > 1 or lacks_a_part:
                raise DataError(
                    f"The {split} arrays have different numbers of samples.",
                    field="dataset",
                    received=", ".join(f"{name}: {length}" for name, length in lengths.items()),
                    expected="the same number of samples in each",
                )
            if lengths and min(lengths.values()) < (2 if split == "train" else 1):
                raise DataError(
                    f"The {split} set is empty, or too small to train on.",
                    field=f"dataset.x_{split}",
                    received=f"{min(lengths.values())} samples",
                    expected="at least 2 training samples and 1 validation sample",
                )
        for split, arrays in (
            ("x_train", self.x_train), ("y_train", self.y_train), ("x_val", self.x_val), ("y_val", self.y_val)
        ):  # fmt: skip
            for name, array in arrays.items():
                _check_values(array, _label(split, name))
        for name, weights in self.sample_weight_train.items():
            _check_weights(weights, self.num_train, _label("sample_weight_train", name))

    def fit_to(self, model: keras.Model) -> Data:
        """Return the data with its arrays in the order of the model's inputs and outputs, after checking shapes.

        Raises:
            DataError: A name, a shape or the number of arrays does not fit the model.
        """
        inputs, outputs = inputs_by_name(model), outputs_by_name(model)
        ordered = {}
        for split in ("x_train", "x_val", "y_train", "y_val"):
            arrays: Arrays = getattr(self, split)
            tensors = inputs if split.startswith("x") else outputs
            ordered[split] = _by_name(arrays, tensors, split) if arrays else {}
            if split.startswith("x"):
                for name, array in ordered[split].items():
                    _check_shape(array, tensors[name], _label(split, name if len(tensors) > 1 else ""))
        weights = self.sample_weight_train
        unknown = set(weights) - set(outputs) - {""}
        if unknown:
            raise DataError(
                "There are sample weights for outputs that the model does not have.",
                field="dataset.sample_weight_train",
                received=", ".join(sorted(unknown)),
                expected=f"one array for all, or sample_weight_train.<name> for some of {', '.join(outputs)}",
            )
        return replace(self, **ordered)


def _from_mapping(data: Mapping[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {}
    for key, value in data.items():
        split, _, name = str(key).partition(".")
        if split not in PARTS:
            raise DataError(
                f"The array name {key!r} is not known.",
                field="dataset",
                received=", ".join(str(name) for name in data),
                expected=f"{', '.join(PARTS)}, or with several inputs x_train.<name>",
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
            f"The {split} set is neither batches nor a pair of arrays.",
            field=f"dataset.x_{split}",
            received=f"{len(value)} parts" if isinstance(value, tuple) else type(value).__name__,
            expected="batches, or (x, y)",
        )
    return dict(zip((f"x_{split}", f"y_{split}"), value or (), strict=False))


def _is_pair(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and len(value) == 2)


def _named(value: Any, split: str) -> Arrays:
    if isinstance(value, Mapping):
        return {str(name): _array(array, _label(split, str(name))) for name, array in value.items()}
    if isinstance(value, (tuple, list)) and value and all(isinstance(each, np.ndarray) for each in value):
        return {f"#{number}": _array(array, f"{split}[{number}]") for number, array in enumerate(value)}
    return {"": _array(value, split)}


def _array(value: Any, label: str) -> np.ndarray:
    try:
        array: np.ndarray = np.asanyarray(value)
    except ValueError:
        array = np.asanyarray(None)
    if array.ndim == 0:
        raise DataError(
            f"{label} is no array of samples.",
            field=f"dataset.{label}",
            received=type(value).__name__,
            expected="an array whose first axis counts samples",
        )
    return array


def _label(split: str, name: str) -> str:
    return f"{split}.{name}" if name else split


def _take(arrays: Arrays, indices: np.ndarray) -> Arrays:
    return {name: array[indices] for name, array in arrays.items()}


def _check_values(array: Samples, label: str) -> None:
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{label} does not hold numbers.",
            field=f"dataset.{label}",
            received=f"type {array.dtype}",
            expected="float, int, uint or bool",
        )
    if array.dtype.kind == "f":
        for start in range(0, len(array), 4096):
            finite = np.isfinite(array[start : start + 4096])
            if not finite.all():
                first = start + int(np.argwhere(~finite)[0][0])
                raise DataError(
                    f"{label} holds NaN or infinity.",
                    field=f"dataset.{label}",
                    received=f"first in sample {first}",
                    expected="finite numbers",
                    hint="Clean or impute these samples first.",
                )


def _check_weights(weights: np.ndarray, num_samples: int, label: str) -> None:
    _check_values(weights, label)
    if weights.shape != (num_samples,) or weights.min() < 0 or not weights.any():
        raise DataError(
            f"{label} does not weight the samples.",
            field=f"dataset.{label}",
            received=f"shape {weights.shape}, from {weights.min() if weights.size else 'nothing'} up",
            expected=f"shape ({num_samples},), numbers from 0 up, not all of them 0",
        )


def _by_name(arrays: Arrays, tensors: Mapping[str, Any], split: str) -> Arrays:
    if list(arrays) == [f"#{number}" for number in range(len(tensors))]:
        return dict(zip(tensors, arrays.values(), strict=True))
    if set(arrays) == {""} and len(tensors) == 1:
        return {next(iter(tensors)): arrays[""]}
    if set(arrays) != set(tensors):
        raise DataError(
            f"The arrays of {split} do not fit the model.",
            field=f"dataset.{split}",
            received=", ".join(name or "one array without a name" for name in arrays),
            expected=", ".join(f"{split}.{name}" for name in tensors) if len(tensors) > 1 else f"one array, {split}",
        )
    return {name: arrays[name] for name in tensors}


def _check_shape(array: Samples, tensor: Any, label: str) -> None:
    expected = tuple(tensor.shape[1:])
    received = array.shape[1:]
    fits = len(expected) == len(received) and all(e in (None, r) for e, r in zip(expected, received, strict=True))
    if not fits:
        raise DataError(
            f"The shape of {label} does not fit the model's input.",
            field=f"dataset.{label}",
            received=f"samples of shape {received}",
            expected=f"samples of shape {expected}",
            hint="Reshape or resize the arrays; image folders are resized for you.",
        )
