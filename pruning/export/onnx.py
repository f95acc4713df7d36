"""ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from pruning.export.base import ExportFormat, InputSpec, Named, Runner
from pruning.keras_model.tf_function import tf_function

_TYPES = {"float": "float32", "double": "float64"}
"""ONNX's names of types where they are not NumPy's."""


class Onnx(ExportFormat):
    """Write with tf2onnx in the way of Keras's exporter, run with ONNX Runtime on the processor.

    Differs from `model.export`: that leaves tensors which a layer keeps beside its variables, such as the mean of a
    Normalization, to be given as further inputs. Here they are constants of the file.
    """

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        import onnx
        import tf2onnx

        function, signature = tf_function(model)
        written, _ = tf2onnx.convert.from_function(function, signature)
        captures = function.get_concrete_function(*signature).graph.captures
        kept = {inner.name: outer for outer, inner in captures if outer.dtype != "resource"}
        graph = written.graph
        for spec in [spec for spec in graph.input if spec.name in kept]:
            graph.initializer.append(onnx.numpy_helper.from_array(kept[spec.name].numpy(), spec.name))
            graph.input.remove(spec)
        onnx.save(written, str(path))

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
