"""Names of figures, as Keras has them: those of the validation set start with `val_`, those of training are plain."""

from __future__ import annotations

from collections.abc import Mapping

VALIDATION = "val_"
"""How the name of every figure of the validation set starts, wherever it is shown, stored or sent."""


def of_validation(figures: Mapping[str, float]) -> dict[str, float]:
    """Return figures that Keras measured on the validation set by their names."""
    return {VALIDATION + name: value for name, value in figures.items()}
