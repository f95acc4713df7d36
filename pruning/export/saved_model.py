"""TensorFlow's SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.export.base import ExportFormat, InputSpec, Named, Runner, in_order
from pruning.export.keras_archive import require_own_threads


class SavedModel(ExportFormat):
    """Write with Keras's exporter, run with TensorFlow."""

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        model.export(path, format="tf_saved_model", verbose=False)

    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        require_own_threads("saved_model", num_threads)
        return _SavedModelRunner(path)


class _SavedModelRunner(Runner):
    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        # The loaded object owns the signature's variables and has to live as long.
        self._loaded: Any = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._to_tensor = tf.convert_to_tensor

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        specs = self._serve.structured_input_signature[1]
        return tuple(InputSpec(name, tuple(spec.shape), spec.dtype.name) for name, spec in specs.items())

    def __call__(self, inputs: Named) -> list[np.ndarray]:
        outputs = self._serve(**{name: self._to_tensor(array) for name, array in inputs.items()})
        return in_order({name: output.numpy() for name, output in outputs.items()})
