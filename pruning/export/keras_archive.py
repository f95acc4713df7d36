"""Keras's own archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from pruning.errors import SpecError
from pruning.export.base import ExportFormat, InputSpec, Named, Runner
from pruning.keras_model.graph import inputs_by_name, pack_inputs


class KerasArchive(ExportFormat):
    """Write with `model.save`, run with Keras on its present backend."""

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        model.save(path)

    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        require_own_threads("keras", num_threads)
        return KerasRunner(keras.saving.load_model(path, compile=False))


class KerasRunner(Runner):
    """A Keras model as a runner.

    Args:
        model: A functional or Sequential model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._tensors = inputs_by_name(model)

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        return tuple(
            InputSpec(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
            for name, tensor in self._tensors.items()
        )

    def __call__(self, inputs: Named) -> list[np.ndarray]:
        arrays = pack_inputs(self._model, [inputs[name] for name in self._tensors])
        outputs = self._model.predict_on_batch(arrays)
        return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def require_own_threads(name: str, num_threads: int | None) -> None:
    """Refuse a number of threads for a runtime that takes it once for the whole process."""
    if num_threads is not None:
        raise SpecError(
            f"Cannot set the number of threads for the format {name!r}.",
            field="num_threads",
            received=str(num_threads),
            expected="None: the backend's threads are shared by the process",
            hint="Set OMP_NUM_THREADS or the backend's setting before you import Keras.",
        )
