"""How one would prune and fine-tune by hand: Keras and NumPy, and the library for cutting alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruning import PruningSpec, apply_plan, make_plan

WARMUP_SHARE = 0.05
MOMENTUM = 0.9
"""Of the moving statistics: after a few dozen steps Keras's own 0.99 has not left where they began."""


@dataclass(frozen=True)
class Recipe:
    """How to train by hand.

    Attributes:
        optimizer: `"sgd"`, with Nesterov momentum and weight decay, or `"adam"`.
        learning_rate: At its peak, after the warm-up.
        batch_size: Samples a step.
        crop: Pixels by which images are moved at random at most; also flips them. 0 leaves images alone.
    """

    optimizer: str = "sgd"
    learning_rate: float = 0.05
    batch_size: int = 128
    crop: int = 0


def uniform_l1(model: keras.Model, targets: Mapping[str, Any]) -> keras.Model:
    """Return the model without the channels of the smallest L1 norm, the same share of every group, not trained.

    Args:
        model: The original; not changed.
        targets: Fields of `PruningSpec` that say how far to go, such as `{"target_params": 0.36}`.
    """
    return apply_plan(model, make_plan(model, PruningSpec(criterion="l1_norm", **dict(targets))))


def l1_cosine(
    model_small: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
    epochs: int,
    seed: int,
    recipe: Recipe,
) -> float:
    """Train a pruned classifier in place: one cosine over all epochs, after a short warm-up.

    Args:
        model_small: Ends in a softmax or in logits; its weights change.
        x: Training inputs, shape `(num_samples, ...)`; images where the recipe crops.
        y: Their class numbers, shape `(num_samples,)`.
        x_val: Inputs to measure on.
        y_val: Their class numbers.
        epochs: Passes over the training samples.
        seed: Of shuffling and augmentation.
        recipe: How to train.

    Returns:
        Accuracy on the validation samples.
    """
    keras.utils.set_random_seed(seed)
    for layer in model_small.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    batches = _Batches(x, y, recipe, seed)
    rate = _Cosine(recipe.learning_rate, max(1, epochs * len(batches)))
    optimizer = (
        keras.optimizers.Adam(rate)
        if recipe.optimizer == "adam"
        else keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    )
    # XLA halves the training speed of small networks on a CPU with TensorFlow.
    is_compiled = keras.backend.backend() != "tensorflow"
    model_small.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(), jit_compile=is_compiled)
    if epochs:
        model_small.fit(batches, epochs=epochs, verbose=0, shuffle=False)
    return accuracy(model_small, x_val, y_val)


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of the samples whose class is given the highest output."""
    predicted = np.argmax(model.predict(x, batch_size=250, verbose=0), axis=-1)
    return float(np.mean(predicted == y))


class _Cosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then half a cosine down to zero."""

    def __init__(self, peak: float, num_steps: int) -> None:
        self._peak, self._num_steps = peak, num_steps
        self._warmup = max(1, round(WARMUP_SHARE * num_steps))

    def __call__(self, step: Any) -> Any:
        step = keras.ops.cast(step, "float32")
        share = (step - self._warmup) / max(1, self._num_steps - self._warmup)
        falling = (1 + keras.ops.cos(math.pi * keras.ops.clip(share, 0.0, 1.0))) / 2
        return self._peak * keras.ops.minimum((step + 1) / self._warmup, falling)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self._peak, "num_steps": self._num_steps}


class _Batches(keras.utils.PyDataset):
    """Shuffled batches, images flipped and moved at random where the recipe says so."""

    def __init__(self, x: np.ndarray, y: np.ndarray, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self._x, self._y, self._recipe = x, y, recipe
        self._generator = np.random.default_rng(seed)
        self._order = self._generator.permutation(len(x))

    def __len__(self) -> int:
        return math.ceil(len(self._x) / self._recipe.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        size = self._recipe.batch_size
        chosen = self._order[index * size : (index + 1) * size]
        x = self._x[chosen]
        return (_moved(x, self._recipe.crop, self._generator) if self._recipe.crop else x), self._y[chosen]

    def on_epoch_end(self) -> None:
        self._order = self._generator.permutation(len(self._x))


def _moved(images: np.ndarray, crop: int, generator: np.random.Generator) -> np.ndarray:
    """Flip half of the images, and move all by up to so many pixels; what comes in is 0."""
    count, height, width = images.shape[:3]
    padded = np.pad(images, ((0, 0), (crop, crop), (crop, crop), (0, 0)))
    rows = generator.integers(0, 2 * crop + 1, (count, 1)) + np.arange(height)
    columns = generator.integers(0, 2 * crop + 1, (count, 1)) + np.arange(width)
    is_flipped = generator.random(count) < 0.5
    columns[is_flipped] = columns[is_flipped, ::-1]
    moved: np.ndarray = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved
