"""Least squares from sums: Gram matrices that are summed over a stream of samples, and the ridge solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg


@dataclass(frozen=True)
class Solution:
    """What is added to a kernel and to its offset.

    Attributes:
        change: Of the kernel's matrices, shape `(blocks, inputs, outputs)`.
        shift: Of the offset, shape `(blocks, outputs)`; zeros if the sums were not centred.
        error_before: Sum of squared differences to the targets, over the targets' sum of squares about their mean.
        error_after: The same with the change and the shift.
    """

    change: np.ndarray
    shift: np.ndarray
    error_before: float
    error_after: float


class Gram:
    """Sums over positions of the products of inputs, and of inputs and residuals, in float64.

    Its size does not depend on how many positions are added: `(inputs + outputs) * inputs` numbers a block.

    Args:
        num_blocks: Blocks of outputs with inputs of their own.
        num_inputs: Inputs of each block.
        num_outputs: Outputs of each block.
    """

    def __init__(self, num_blocks: int, num_inputs: int, num_outputs: int) -> None:
        self._count = 0
        self._inputs = np.zeros((num_blocks, num_inputs))
        self._residuals = np.zeros((num_blocks, num_outputs))
        self._targets = np.zeros((num_blocks, num_outputs))
        self._products = np.zeros((num_blocks, num_inputs, num_inputs))
        self._mixed = np.zeros((num_blocks, num_inputs, num_outputs))
        self._residual_squares = np.zeros((num_blocks, num_outputs))
        self._target_squares = np.zeros((num_blocks, num_outputs))

    def add(self, inputs: np.ndarray, residuals: np.ndarray, targets: np.ndarray) -> None:
        """Add some positions.

        Args:
            inputs: Shape `(positions, blocks, inputs)`.
            residuals: Targets less what the kernel makes of the inputs now, shape `(positions, blocks, outputs)`.
            targets: Shape `(positions, blocks, outputs)`.
        """
        by_block, wanted = inputs.transpose(1, 0, 2), residuals.transpose(1, 0, 2)
        transposed = by_block.transpose(0, 2, 1)
        self._count += len(inputs)
        self._inputs += inputs.sum(axis=0)
        self._residuals += residuals.sum(axis=0)
        self._targets += targets.sum(axis=0)
        self._products += transposed @ by_block
        self._mixed += transposed @ wanted
        self._residual_squares += np.square(residuals).sum(axis=0)
        self._target_squares += np.square(targets).sum(axis=0)

    def products(self, centred: bool) -> np.ndarray:
        """Return the sums of products of the inputs, perhaps about their means, shape `(blocks, inputs, inputs)`."""
        if not centred:
            return self._products
        mean = self._inputs / max(self._count, 1)
        centred_products: np.ndarray = self._products - self._count * mean[:, :, np.newaxis] * mean[:, np.newaxis, :]
        return centred_products

    def solve(self, ridge: float, centred: bool) -> Solution:
        """Return the change of the kernel that leaves the least squared residuals.

        Args:
            ridge: Penalty on the squared change, as a share of the mean of the products' diagonal.
            centred: Whether there is an offset that can take the difference of the means.
        """
        count, mixed, squares = max(self._count, 1), self._mixed, self._residual_squares
        products = self.products(centred)
        mean_input, mean_residual = self._inputs / count, self._residuals / count
        if centred:
            mixed = mixed - count * mean_input[:, :, np.newaxis] * mean_residual[:, np.newaxis, :]
            squares = squares - count * np.square(mean_residual)
        change = np.stack([_ridge(*pair, ridge) for pair in zip(products, mixed, strict=True)])
        shift = mean_residual - np.einsum("bi,bio->bo", mean_input, change) if centred else np.zeros_like(mean_residual)
        left = squares.sum() - np.sum(change * (2 * mixed - products @ change))
        spread = np.sum(self._target_squares - np.square(self._targets) / count) or 1.0
        before = float(self._residual_squares.sum() / spread)
        return Solution(change, shift, before, float(max(left, 0.0) / spread))


def _ridge(products: np.ndarray, mixed: np.ndarray, ridge: float) -> np.ndarray:
    penalty = ridge * np.trace(products) / len(products)
    if not penalty > 0:
        return np.zeros_like(mixed)  # Inputs that never vary say nothing.
    solved: np.ndarray = linalg.solve(products + penalty * np.eye(len(products)), mixed, assume_a="pos")
    return solved


def applied(columns: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return columns `(positions, blocks, inputs)` times matrices, shape `(positions, blocks, outputs)`."""
    made: np.ndarray = (columns.transpose(1, 0, 2) @ matrices).transpose(1, 0, 2)
    return made
