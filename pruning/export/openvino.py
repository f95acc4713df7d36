"""OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pruning.export.base import ExportFormat, InputSpec, Named, Runner, in_order


class OpenVino(ExportFormat):
    """Write with Keras's exporter, run with OpenVINO on the processor."""

    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        model.export(str(path), format="openvino", verbose=False)

    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        return _OpenVinoRunner(path, num_threads)


class _OpenVinoRunner(Runner):
    def __init__(self, path: Path, num_threads: int | None) -> None:
        import openvino

        # Full precision, as the file has it: the default is what the processor likes best, such as bfloat16.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if num_threads is not None:
            options["INFERENCE_NUM_THREADS"] = num_threads
        self._model = openvino.Core().compile_model(str(path), "CPU", options)

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        return tuple(
            InputSpec(
                spec.get_any_name(),
                tuple(size.get_length() if size.is_static else None for size in spec.partial_shape),
                np.dtype(spec.element_type.to_dtype()).name,
            )
            for spec in self._model.inputs
        )

    def __call__(self, inputs: Named) -> list[np.ndarray]:
        outputs = self._model(dict(inputs))
        return in_order({port.get_node().get_friendly_name(): outputs[port] for port in self._model.outputs})
