"""Names of figures, as Keras has them: `val_…` of the validation set, `test_…` of the test set, plain of training."""

from __future__ import annotations

from collections.abc import Mapping

VALIDATION = "val_"
"""How the name of every figure of the validation set starts, wherever it is shown, stored or sent."""
TEST = "test_"
"""The same of the test set."""


def of_validation(figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures that Keras measured on the validation set by their names."""
    return {VALIDATION + name: value for name, value in figures.items()}


def of_test(figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures that Keras measured on the test set by their names."""
    return {TEST + name: value for name, value in figures.items()}
