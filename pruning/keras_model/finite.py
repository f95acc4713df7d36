"""Weights that are numbers."""

from __future__ import annotations

import keras
import numpy as np

from pruning.errors import ModelError
from pruning.keras_model.parts import layers_inside, variables_of
from pruning.keras_model.weights import read_weights

_MOST_NAMED = 10


def require_finite(model: keras.Model) -> None:
    """Check that no weight is NaN or infinite.

    Raises:
        ModelError: Some are; the error names the layers.
    """
    if all(map(_is_finite, model.variables)):
        return
    broken = [layer for layer in layers_inside(model) if not all(map(_is_finite, variables_of(layer)))]
    names = [layer.name for layer in broken if not any(inner in broken for inner in layers_inside(layer))]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    raise ModelError(
        "The weights of the model hold NaN or infinity.",
        field="model",
        received=f"in {', '.join(names[:_MOST_NAMED]) or model.name}{more}",
        expected="finite weights",
        hint="Training diverged: use an earlier checkpoint.",
    )


def _is_finite(variable: keras.Variable) -> bool:
    values = read_weights(variable)
    return values.dtype.kind != "f" or bool(np.all(np.isfinite(values)))
