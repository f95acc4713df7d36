"""Batches of arrays for Keras, shuffled and augmented reproducibly on every backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pruning.errors import SpecError
from pruning.spec import Augmentation
from pruning.training.data import Arrays


class Batches(keras.utils.PyDataset):
    """Batches of named arrays.

    Args:
        x: Inputs by name.
        y: Targets by name.
        structures: The model's input and output structures, into which the arrays are packed.
        batch_size: Samples in a batch.
        shuffle: Draw a new order for each epoch.
        augmentation: Random changes to images; `None` for validation.
        seed: Seed of order and augmentation.
        first_epoch: The epoch to start with, counted from 0: a training that goes on after an interruption
            sees the batches that it would have seen without.
    """

    def __init__(
        self,
        x: Arrays,
        y: Arrays,
        structures: tuple[Any, Any],
        *,
        batch_size: int,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        first_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._x, self._y = x, y
        self._structures = structures
        self._batch_size = batch_size
        self._augmentation = augmentation if augmentation != Augmentation() else None
        self._seed, self._epoch = seed, first_epoch
        self._num_samples = len(next(iter(x.values())))
        self._shuffle = shuffle
        self._order = self._draw()

    def __len__(self) -> int:
        return -(-self._num_samples // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        x = {name: array[chosen] for name, array in self._x.items()}
        y = {name: array[chosen] for name, array in self._y.items()}
        if self._augmentation is not None:
            generator = np.random.default_rng([self._seed, self._epoch, index])
            x = {name: augment(array, self._augmentation, generator) for name, array in x.items()}
        return self._pack(self._structures[0], x), self._pack(self._structures[1], y)

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        self._order = self._draw()

    def _pack(self, structure: Any, arrays: Arrays) -> Any:
        values = list(arrays.values())
        if len(values) == 1:
            return values[0]
        # Tuples, because TensorFlow's data pipeline takes a list for a tensor.
        return keras.tree.lists_to_tuples(keras.tree.pack_sequence_as(structure, values))

    def _draw(self) -> np.ndarray:
        if not self._shuffle:
            return np.arange(self._num_samples)
        return np.random.default_rng([self._seed, self._epoch]).permutation(self._num_samples)


def augment(images: np.ndarray, augmentation: Augmentation, generator: np.random.Generator) -> np.ndarray:
    """Flip, crop and shift images at random, each by itself.

    Args:
        images: Shape `(num_images, height, width, channels)`.
        augmentation: What to do.
        generator: Source of randomness.

    Raises:
        SpecError: The inputs are no images.
    """
    if images.ndim != 4:
        raise SpecError(
            "Augmentation needs images.",
            field="training.augmentation",
            received=f"inputs of shape {images.shape[1:]}",
            expected="inputs of shape (height, width, channels)",
            hint="Leave augmentation out, or augment the data before uploading it.",
        )
    images = images.copy()
    num_images, height, width, _ = images.shape
    if augmentation.horizontal_flip:
        flipped = generator.random(num_images) < 0.5
        images[flipped] = images[flipped, :, ::-1]
    if augmentation.vertical_flip:
        flipped = generator.random(num_images) < 0.5
        images[flipped] = images[flipped, ::-1]
    rows = augmentation.crop + round(augmentation.shift * height)
    columns = augmentation.crop + round(augmentation.shift * width)
    if rows or columns:
        padded = np.pad(images, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
        tops = generator.integers(0, 2 * rows + 1, num_images)
        lefts = generator.integers(0, 2 * columns + 1, num_images)
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            images[i] = padded[i, top : top + height, left : left + width]
    return images
