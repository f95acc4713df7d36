"""Class labels as probabilities, which can be smoothed and mixed: the losses and metrics that take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruning.errors import SpecError
from pruning.training.keras_names import config_of, loss_name

_OF_PROBABILITIES = {
    "sparse_categorical_crossentropy": "CategoricalCrossentropy",
    "sparse_categorical_accuracy": "CategoricalAccuracy",
    "sparse_top_k_categorical_accuracy": "TopKCategoricalAccuracy",
}
"""What takes whole numbers as labels → what computes the same of one-hot vectors."""

_OPTIONS = ("name", "reduction", "from_logits", "axis", "ignore_class", "k")
"""What both of them are made with, but for the class to ignore."""


@dataclass(frozen=True)
class LabelSmoothing:
    """Labels that are a little less sure, for training alone.

    Source: Szegedy et al. 2016, Rethinking the Inception Architecture, arXiv:1512.00567.

    Attributes:
        share: How much of each target is spread, from 0 to below 1.
        centre: What it is spread to: one over the number of classes, or 0.5 for labels that are true or false.
    """

    share: float
    centre: float

    def apply(self, target: np.ndarray) -> np.ndarray:
        """Return smoothed targets, float32, of the same shape."""
        smoothed: np.ndarray = (1 - self.share) * target.astype(np.float32) + np.float32(self.share * self.centre)
        return smoothed

    @classmethod
    def of(cls, share: float, loss: Any, shape: tuple[int | None, ...]) -> LabelSmoothing | None:
        """Return how the targets of one output are smoothed, or `None` if they are no classes.

        Args:
            share: See above.
            loss: The output's loss.
            shape: The output's, without the batch axis.
        """
        kind = loss_name(loss)
        if kind == "binary_crossentropy":
            return cls(share, 0.5)
        if kind == "categorical_crossentropy" and shape and shape[-1]:
            return cls(share, 1 / shape[-1])
        return None


def of_probabilities(wish: Any, module: Any) -> Any:
    """Return losses or metrics that take probabilities, in the same structure; those that do already stay.

    Args:
        wish: Names, functions, objects or configs, alone, in lists or by output.
        module: `keras.losses` or `keras.metrics`.

    Raises:
        SpecError: One ignores a class, for which there is no probability.
    """
    if isinstance(wish, list | tuple):
        return [of_probabilities(each, module) for each in wish]
    if isinstance(wish, dict) and "class_name" not in wish:
        return {name: of_probabilities(each, module) for name, each in wish.items()}
    kind = loss_name(wish)
    if wish is None or kind not in _OF_PROBABILITIES:
        return wish
    options = _options(wish, module)
    if options.pop("ignore_class", None) is not None:
        raise SpecError(
            "Label smoothing and mixup do not support ignore_class.",
            field="training",
            received=f"{kind} with ignore_class",
            expected="no label smoothing or mixup, or a loss without ignore_class",
        )
    return config_of(module.__name__.replace("._tf_keras", ""), _OF_PROBABILITIES[kind], options)


def _options(wish: Any, module: Any) -> dict[str, Any]:
    """Return the constructor options of a loss or metric, its name kept, under which it is reported."""
    if isinstance(wish, dict):
        return dict(wish["config"])
    if isinstance(wish, keras.Loss | keras.metrics.Metric):
        return {name: value for name, value in wish.get_config().items() if name in _OPTIONS}
    name = wish if isinstance(wish, str) else getattr(wish, "__name__", None)
    return {"name": name} if name and module is keras.metrics else {}
