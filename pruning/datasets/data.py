"""Training and validation data: arrays, checked against themselves and against the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from pruning.datasets.checks import check_shape, check_split, check_values, check_weights, in_order
from pruning.datasets.holding_out import held_out
from pruning.datasets.parts import PARTS, label, named, parts_of
from pruning.datasets.rows import Samples, chosen_of, rows_of
from pruning.errors import DataError
from pruning.keras_model.graph import inputs_by_name, outputs_by_name

Arrays = dict[str, np.ndarray]
"""One array for each input or output; the name `""` where there is just one."""
Inputs = Mapping[str, Samples]
"""The same of inputs, which may be on disk."""
Targets = Mapping[str, Samples]
"""The same of targets; masks may be on disk."""


@dataclass(frozen=True)
class Data:
    """What a model is trained on and measured with.

    Attributes:
        x_train: Inputs, each of shape `(num_samples, *input_shape)`; arrays, or some samples of arrays on disk.
        y_train: Targets, one for each output, of any shape that the loss takes; empty if the data has none.
        x_val: The same for validation; empty if there is none yet.
        y_val: The same for validation; empty if there is none yet.
        x_test: The same for one measurement of the finished model; empty if there is none.
        y_test: The same for one measurement of the finished model; empty if there is none.
        sample_weight_train: What each training sample counts in the loss, >= 0, shape `(num_samples,)`, for all outputs
            (the name `""`) or by output; empty if all count alike. Validation counts all alike.
    """

    x_train: Inputs
    y_train: Targets
    x_val: Inputs
    y_val: Targets
    x_test: Inputs = field(default_factory=dict)
    y_test: Targets = field(default_factory=dict)
    sample_weight_train: Arrays = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> Data:
        """Make data from what users have.

        Args:
            data: `Data`, `(x, y)`, `((x, y), (x_val, y_val))` with tuples, or a dict with the keys `x_train`,
                `y_train` and perhaps `x_val`, `y_val`, `x_test`, `y_test`, `sample_weight_train`; without targets an
                array `x`, or a dict without `y_train` and `y_val`. Each of them is one array, or for several inputs or
                outputs a dict of arrays by name or a list of arrays in the model's order. Keys such as `x_train.left`
                name an input. Or batches, as `model.fit` takes them: a `tf.data.Dataset`, a `PyDataset`, a generator or
                a data loader that ends, or two of them to train and to validate on, one of which may be `(x, y)`; they
                are written to disk first.

        Raises:
            DataError: It is none of these, or the arrays do not fit each other.
        """
        if isinstance(data, Data):
            return data
        parts = parts_of(data)
        made = cls(**{name: named(parts.get(name, {}), name) for name in PARTS})
        check_split("train", made.x_train, made.y_train, made.is_labelled)
        check_split("val", made.x_val, made.y_val, made.is_labelled)
        check_split("test", made.x_test, made.y_test, made.is_labelled)
        for name, weights in made.sample_weight_train.items():
            check_weights(weights, made.num_train, label("sample_weight_train", name))
        return made

    @classmethod
    def of_inputs(cls, inputs: Any) -> Data:
        """Make data without targets: one array, or several by name or in the model's order.

        Raises:
            DataError: An array does not hold finite numbers, or their lengths differ.
        """
        arrays = named(inputs, "inputs")
        for name, array in arrays.items():
            check_values(array, label("inputs", name))
        if len({len(array) for array in arrays.values()}) != 1 or not len(next(iter(arrays.values()))):
            raise DataError(
                "There are no input samples.",
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
    def num_test(self) -> int:
        """How many samples to measure the finished model on."""
        return len(next(iter(self.x_test.values()))) if self.x_test else 0

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
                received=", ".join(label("x_train", name) for name in self.x_train),
                expected="x_train and y_train",
                hint="Give (x, y), or a dict with y_train; images need class folders, masks or a table.",
            )

    def split(self, validation_split: float, seed: int) -> Data:
        """Return data with a validation set: its own, or a random share of each class of training samples."""
        if self.x_val:
            return self
        num_val = min(max(1, round(validation_split * self.num_train)), self.num_train - 1)
        held = held_out(self.y_train, self.num_train, num_val, seed)
        rest = np.setdiff1d(np.arange(self.num_train), held)
        return replace(
            self,
            x_train=rows_of(self.x_train, rest),
            y_train=chosen_of(self.y_train, rest),
            sample_weight_train={name: each[rest] for name, each in self.sample_weight_train.items()},
            x_val=rows_of(self.x_train, held),
            y_val=chosen_of(self.y_train, held),
        )

    def subset(self, max_train_samples: int | None, seed: int) -> Data:
        """Return data with at most so many training samples, chosen at random."""
        if max_train_samples is None or max_train_samples >= self.num_train:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(self.num_train)[:max_train_samples])
        return replace(
            self,
            x_train=rows_of(self.x_train, chosen),
            y_train=chosen_of(self.y_train, chosen),
            sample_weight_train={name: each[chosen] for name, each in self.sample_weight_train.items()},
        )

    def fit_to(self, model: keras.Model) -> Data:
        """Return the data with its arrays in the order of the model's inputs and outputs, after checking shapes.

        Raises:
            DataError: A name, a shape or the number of arrays does not fit the model.
        """
        inputs, outputs = inputs_by_name(model), outputs_by_name(model)
        ordered: dict[str, Any] = {}
        for split in ("x_train", "x_val", "x_test", "y_train", "y_val", "y_test"):
            arrays: Mapping[str, Samples] = getattr(self, split)
            tensors = inputs if split.startswith("x") else outputs
            ordered[split] = in_order(arrays, tensors, split) if arrays else {}
            if split.startswith("x"):
                for name, array in ordered[split].items():
                    check_shape(array, tensors[name], label(split, name if len(tensors) > 1 else ""))
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
