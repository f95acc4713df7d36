"""Does an exported file compute what the model computes?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Arrays, Data, Inputs
from pruning.errors import DataError, ExportError
from pruning.export.base import Named, Runner
from pruning.figures import of_validation
from pruning.keras_model.graph import inputs_by_name, outputs_by_name, pack_inputs, pack_outputs
from pruning.proof.random_inputs import flat_arrays, relative_difference
from pruning.spec import TrainingSpec
from pruning.training.compiling import Compiling

_BATCH_SIZE = 64

Outputs = list[np.ndarray]


class Parity:
    """A model beside its exported file.

    Args:
        model: The model; not changed.
        runner: The file, opened.

    Raises:
        ExportError: The file's inputs are not those of the model.
    """

    def __init__(self, model: keras.Model, runner: Runner) -> None:
        self._model, self._runner = model, runner
        self._tensors = inputs_by_name(model)
        self._file_names = _file_names(self._tensors, runner)
        self._dtypes = {spec.name: spec.dtype for spec in runner.inputs}

    def difference(self, inputs: Arrays) -> float:
        """Return the largest absolute difference over the largest absolute value of a sample, worst output.

        Args:
            inputs: By the model's own names; their first axis counts samples.
        """
        expected, actual = self._run(self.run_model, inputs), self._run(self.run_file, inputs)
        if len(expected) != len(actual):
            return float("inf")
        return max(relative_difference(left, right) for left, right in zip(expected, actual, strict=True))

    def metrics(self, data: Data) -> tuple[dict[str, float], dict[str, float]]:
        """Return loss and metrics of the model and those of the file.

        They are those of the validation set, as `val_…`, or where there is none those of the training set.

        Raises:
            SpecError: There is no loss: the model is not compiled, and the targets are no class labels.
        """
        compiling = Compiling(self._model, TrainingSpec(), data)
        data = compiling.fit_targets(data)
        inputs, targets = (data.x_val, data.y_val) if data.x_val else (data.x_train, data.y_train)
        scorer = _scorer(self._model)
        compiling.compile(scorer)

        def score(run: Callable[[Arrays], Outputs]) -> dict[str, float]:
            outputs = self._run(run, inputs)
            names = dict(zip(outputs_by_name(self._model), outputs, strict=True))
            wanted = pack_outputs(self._model, [targets[name][: len(output)] for name, output in names.items()])
            figures = scorer.evaluate(outputs, wanted, batch_size=_BATCH_SIZE, verbose=0, return_dict=True)
            means = {name: float(np.mean(value)) for name, value in figures.items()}
            return of_validation(means) if data.x_val else means

        return score(self.run_model), score(self.run_file)

    def run_model(self, inputs: Arrays) -> Outputs:
        """Return the model's outputs for one batch."""
        arrays = pack_inputs(self._model, [inputs[name] for name in self._tensors])
        return flat_arrays(self._model(arrays, training=False))

    def run_file(self, inputs: Arrays) -> Outputs:
        """Return the file's outputs for one batch."""
        named = {self._file_names[name]: array for name, array in inputs.items()}
        outputs = self._runner({name: array.astype(self._dtypes[name]) for name, array in named.items()})
        return [np.asarray(output, dtype=np.float64) for output in outputs]

    def _run(self, run: Callable[[Arrays], Outputs], inputs: Inputs) -> Outputs:
        batches = [run(batch) for batch in batches_of(inputs, self._tensors, _BATCH_SIZE)]
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def batches_of(inputs: Inputs, tensors: Mapping[str, Any], batch_size: int) -> Iterator[Arrays]:
    """Yield batches of inputs; of a model with a batch size of its own, full ones only.

    Raises:
        DataError: There are not enough for one.
    """
    fixed = next(iter(tensors.values())).shape[0]
    size, num_samples = fixed or batch_size, len(next(iter(inputs.values())))
    if fixed and num_samples < fixed:
        raise DataError(
            "There are fewer samples than the model's batch size.",
            field="inputs",
            received=f"{num_samples} samples",
            expected=f"at least {fixed}, the fixed batch size of the model",
        )
    for start in range(0, num_samples - (size - 1 if fixed else 0), size):
        yield {
            name: np.asarray(array[start : start + size], dtype=keras.backend.standardize_dtype(tensors[name].dtype))
            for name, array in inputs.items()
        }


def in_file_names(inputs: Named, tensors: Mapping[str, Any]) -> Named:
    """Return inputs by the names that TensorFlow makes of those of the model's tensors."""
    return {_plain(tensors[name].name): array for name, array in inputs.items()}


def _file_names(tensors: Mapping[str, Any], runner: Runner) -> dict[str, str]:
    """Return the file's name for each of the model's inputs: that of the tensor or its key in a dict, spelled anew."""
    spelled = {spec.name for spec in runner.inputs}
    known = {_plain(name): name for name in spelled}
    for names in ({name: tensor.name for name, tensor in tensors.items()}, {name: name for name in tensors}):
        if set(names.values()) == spelled:
            return names
        if {_plain(name) for name in names.values()} == set(known) and len(known) == len(names):
            return {name: known[_plain(each)] for name, each in names.items()}
    if len(tensors) == len(known) == 1:
        return dict(zip(tensors, known.values(), strict=True))
    raise ExportError(
        "The file's inputs do not match the model's.",
        field="model",
        received=", ".join(spec.name for spec in runner.inputs),
        expected=", ".join(tensors),
        hint="Name each input with letters, digits and underscores, and use each input in the model.",
    )


def _plain(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _scorer(model: keras.Model) -> keras.Model:
    """Return a model that passes on what it is given, with outputs named as the model's."""
    tensors = outputs_by_name(model)
    inputs = [keras.Input(batch_shape=(None, *tensor.shape[1:]), dtype=tensor.dtype) for tensor in tensors.values()]
    outputs = [keras.layers.Identity(name=name)(each) for name, each in zip(tensors, inputs, strict=True)]
    return keras.Model(inputs, pack_outputs(model, outputs))
