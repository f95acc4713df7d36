"""Reconstruction error: which channels the others can make up for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pruning.criteria.base import DataCriterion, Reading


class ReconstructionCost(DataCriterion):
    """Remove, one after the other, the channel whose loss the kernels that read it can best make up for.

    Each kernel is solved anew by least squares after each removal, in closed form. The importance is the squared error
    of the outputs that a removal adds, over the sum of their squares, summed over the kernels; a channel that goes
    later has no lower one than those before it.

    Source: Meng et al. 2024, OSSCAR, arXiv:2403.12983; the updates are those of the optimal brain surgeon, Hassibi &
    Stork 1992, for all weights of a channel at once. Differs: greedy only, without local search; summed over all
    kernels that read the channel; on what the original makes, not the pruned layers before it.
    """

    observes = "readings"
    ridge = 1e-4

    def measure(self, observed: Sequence[Reading]) -> np.ndarray:
        kernels = [kernel for reading in observed for kernel in self._kernels(reading)]
        num_channels = len(observed[0].rows)
        importance, least = np.zeros(num_channels), 0.0
        left = np.arange(num_channels)
        while len(left):
            costs = sum((kernel.costs(left) for kernel in kernels), np.zeros(len(left)))
            cheapest = int(np.argmin(costs))
            # Never lower than that of the channel before, and never the same: the order has to be kept.
            least = max(float(costs[cheapest]), float(np.nextafter(least, np.inf)))
            importance[left[cheapest]] = least
            for kernel in kernels:
                kernel.remove(int(left[cheapest]))
            left = np.delete(left, cheapest)
        return importance

    def _kernels(self, reading: Reading) -> list[_Kernel]:
        energy = float(np.sum(reading.weights * (reading.products @ reading.weights)))
        penalty = self.ridge * np.trace(reading.products, axis1=1, axis2=2) / reading.products.shape[1]
        return [
            _Kernel(products + own * np.eye(len(products)), weights, reading.rows, energy)
            for products, weights, own in zip(reading.products, reading.weights, penalty, strict=True)
            if own > 0 and energy > 0  # What never varies, or is multiplied by zeros, is not missed.
        ]


class _Kernel:
    """A kernel that is solved anew, in closed form, whenever a channel goes."""

    def __init__(self, products: np.ndarray, weights: np.ndarray, rows: np.ndarray, energy: float) -> None:
        self._inverse, self._weights = np.linalg.inv(products), weights.copy()
        self._rows, self._energy = rows, energy

    def costs(self, channels: np.ndarray) -> np.ndarray:
        """Return the squared error that the removal of each channel adds, over the sum of squares of the outputs."""
        rows = self._rows[channels]
        own = self._inverse[rows[:, :, np.newaxis], rows[:, np.newaxis, :]]
        weights = self._weights[rows]
        costs: np.ndarray = np.einsum("cio,cio->c", weights, np.linalg.solve(own, weights)) / self._energy
        return costs

    def remove(self, channel: int) -> None:
        """Take the weights of a channel away, and let the others make up for it."""
        rows = self._rows[channel]
        own, across = self._inverse[np.ix_(rows, rows)], self._inverse[:, rows]
        self._weights -= across @ np.linalg.solve(own, self._weights[rows])
        self._inverse -= across @ np.linalg.solve(own, across.T)
