"""Trials that take a batch of samples at a time."""

from __future__ import annotations

import abc
from functools import cached_property

import numpy as np

from pruning.criteria.base import Trials
from pruning.scoring.calibration import Calibration


class BatchedTrials(Trials):
    """Tries channels out on batches of one size, and tells how far it is.

    Args:
        calibration: The samples and the loss.
        size: Samples in a batch.

    Attributes:
        size: The same.
    """

    def __init__(self, calibration: Calibration, size: int) -> None:
        self.num_samples, self.size = calibration.num_samples, size
        self._calibration, self._done = calibration, 0

    @cached_property
    def _targets(self) -> list[np.ndarray]:
        return list(self._calibration.y.values())

    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        losses = np.zeros((len(samples), len(channels)))
        for start in range(0, len(samples), self.size):
            batch = samples[start : start + self.size]
            filled = batch[np.minimum(np.arange(self.size), len(batch) - 1)]
            losses[start : start + self.size] = self._batch(channels, filled, len(batch))[: len(batch)]
            self._done += len(batch)
        return losses

    @abc.abstractmethod
    def _batch(self, channels: np.ndarray, samples: np.ndarray, num_new: int) -> np.ndarray:
        """Return the loss of each sample without each channel; shape `(size, n)`.

        Args:
            channels: Their numbers, shape `(n,)`.
            samples: Their numbers, shape `(size,)`, the last one repeated where there are too few.
            num_new: How many there are without the repeated ones.
        """

    def _tell(self, num_new: int, share: float) -> None:
        """Tell how far the trials are, when a share of the channels is done with a batch of so many samples."""
        self._calibration.on_share((self._done + num_new * share) / self.num_samples)
