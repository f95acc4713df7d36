"""LiteRT, which was TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.export.base import ExportFormat, InputSpec, Named, Runner, in_order


class LiteRT(ExportFormat):
    """Write with Keras's exporter, run with the LiteRT interpreter.

    Inputs and outputs stay float32 in every precision. float16 halves the weights, which most processors widen
    again. int8 computes in integers where LiteRT can, with ranges of the activations seen on the samples.
    """

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        model.export(path, format="litert", verbose=False, **_converter_options(precision, samples))

    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        return _LiteRTRunner(path, num_threads)


def _converter_options(precision: str, samples: Sequence[Named]) -> dict[str, Any]:
    """Return attributes of the converter; only operations that every LiteRT interpreter has are allowed."""
    import tensorflow as tf

    operations = tf.lite.OpsSet
    if precision == "float32":
        return {"target_spec": {"supported_ops": [operations.TFLITE_BUILTINS]}}
    quantised: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision == "float16":
        target = {"supported_ops": [operations.TFLITE_BUILTINS], "supported_types": [tf.float16]}
        return quantised | {"target_spec": target}

    def batches() -> Iterator[dict[str, np.ndarray]]:
        yield from (dict(sample) for sample in samples)

    target = {"supported_ops": [operations.TFLITE_BUILTINS_INT8, operations.TFLITE_BUILTINS]}
    return quantised | {"target_spec": target, "representative_dataset": batches}


class _LiteRTRunner(Runner):
    def __init__(self, path: Path, num_threads: int | None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._run = Interpreter(model_path=str(path), num_threads=num_threads).get_signature_runner()
        self._inputs = tuple(
            InputSpec(
                name,
                tuple(None if size < 0 else int(size) for size in details["shape_signature"]),
                np.dtype(details["dtype"]).name,
            )
            for name, details in self._run.get_input_details().items()
        )

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        return self._inputs

    def __call__(self, inputs: Named) -> list[np.ndarray]:
        return in_order(self._run(**inputs))
