"""What an export format does: write a model, and run what it wrote."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

Named = Mapping[str, np.ndarray]
"""Inputs by name, each of shape `(batch_size, *input_shape)`."""


@dataclass(frozen=True)
class InputSpec:
    """One input of an exported file.

    Attributes:
        name: Under which the file knows it.
        shape: With the batch axis first; `None` where any size will do.
        dtype: Such as `"float32"`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class Runner(ABC):
    """An exported file, opened to be run."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[InputSpec, ...]:
        """The file's inputs, in the file's own order."""

    @abstractmethod
    def __call__(self, inputs: Named) -> list[np.ndarray]:
        """Run the file once.

        Args:
            inputs: One array for each of `self.inputs`.

        Returns:
            The outputs, in the order in which Keras flattens those of the model.
        """


class ExportFormat(ABC):
    """One file format."""

    @abstractmethod
    def write(self, model: keras.Model, path: Path, precision: str, samples: Sequence[Named]) -> None:
        """Write a model, which is not changed.

        Args:
            model: A functional or Sequential model.
            path: Where to; nothing is there yet.
            precision: One of those that the catalog gives for the format.
            samples: Batches of representative inputs, to see in which range the activations lie; empty unless the
                precision is int8.

        Raises:
            Exception: Whatever the converter raises over a model that the format cannot hold.
        """

    @abstractmethod
    def open(self, path: Path, *, num_threads: int | None = None) -> Runner:
        """Open a file to run it.

        Args:
            path: What `write` wrote.
            num_threads: How many threads compute; `None` leaves it to the runtime.

        Raises:
            SpecError: The runtime cannot be told the number of threads.
        """


def in_order(outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return outputs in the order in which Keras flattens them: those of a dict by key, others by their number."""

    def rank(name: str) -> tuple[int, str]:
        numbered = re.fullmatch(r"output_(\d+)|Identity(?:_(\d+))?:0", name)
        return (int(numbered[1] or numbered[2] or 0), "") if numbered else (0, name)

    return [np.asarray(outputs[name]) for name in sorted(outputs, key=rank)]
