"""ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras.src.export.export_utils import get_input_signature

from pruning.export.base import ExportFormat, InputSpec, Named, Runner

_TYPES = {"float": "float32", "double": "float64"}
"""ONNX's names of types where they are not NumPy's."""


class Onnx(ExportFormat):
    """Write with Keras's exporter, run with ONNX Runtime on the processor."""

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        # Without a signature Keras refuses a Sequential model that was never called.
        model.export(path, format="onnx", verbose=False, input_signature=get_input_signature(model))

    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        return _OnnxRunner(path, num_threads)


class _OnnxRunner(Runner):
    def __init__(self, path: Path, num_threads: int | None) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        return tuple(
            InputSpec(
                spec.name,
                tuple(size if isinstance(size, int) else None for size in spec.shape),
                _type(spec.type),
            )
            for spec in self._session.get_inputs()
        )

    def __call__(self, inputs: Named) -> list[np.ndarray]:
        outputs: list[np.ndarray] = self._session.run(None, dict(inputs))
        return outputs


def _type(name: str) -> str:
    """Return NumPy's name of a type such as `tensor(float)`."""
    inner = name.removeprefix("tensor(").removesuffix(")")
    return _TYPES.get(inner, inner)
