"""Mixup: training on weighted means of two samples and of their targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pruning.datasets.data import Inputs, Targets
from pruning.datasets.rows import Samples
from pruning.errors import SpecError


@dataclass(frozen=True)
class Mixup:
    """Which samples of a batch are mixed, and how much of each.

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, arXiv:1710.09412. Differs: each sample has
    a share of its own, where the authors' code draws one for the batch.

    Attributes:
        partners: The sample that each is mixed with, shape `(num_samples,)`.
        shares: How much of the sample itself is left, 0 to 1, shape `(num_samples,)`.
    """

    partners: np.ndarray
    shares: np.ndarray

    @classmethod
    def draw(cls, alpha: float, num_samples: int, generator: np.random.Generator) -> Mixup:
        """Draw partners, and shares from Beta(`alpha`, `alpha`)."""
        return cls(generator.permutation(num_samples), generator.beta(alpha, alpha, num_samples).astype(np.float32))

    def apply(self, array: np.ndarray) -> np.ndarray:
        """Return inputs, targets or weights mixed; whole numbers become float32."""
        values = array if array.dtype.kind == "f" else array.astype(np.float32)
        shares = self.shares.astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
        mixed: np.ndarray = shares * values + (1 - shares) * values[self.partners]
        return mixed


def require_mixable(x: Inputs, y: Targets, class_outputs: frozenset[str]) -> None:
    """Raise `SpecError` where a mean of two samples or targets means nothing.

    Args:
        x: Inputs by name: numbers, or images.
        y: Targets by name, in the form that the loss takes.
        class_outputs: Names of the targets that are probabilities of classes.
    """
    for name, array in x.items():
        if array.dtype.kind != "f" and array.ndim != 4:
            raise _refusal(
                f"input {name}" if name else "the input", array, "convert numbers to float32; strings cannot be mixed"
            )
    for name, array in y.items():
        if array.dtype.kind != "f" and name not in class_outputs:
            raise _refusal(f"the targets of {name}", array, "use a cross-entropy for classes, or float32 for numbers")


def _refusal(what: str, array: Samples, hint: str) -> SpecError:
    return SpecError(
        f"Mixup cannot average {what}.",
        field="training.augmentation.mixup",
        received=f"{array.dtype} of shape {array.shape[1:]}",
        expected="images or float inputs, and class labels, probabilities or float targets",
        hint=f"Remove mixup, or {hint}.",
    )
