"""Batches of arrays for Keras, shuffled and augmented reproducibly on every backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from pruning.spec import Augmentation
from pruning.training.augmentation import Motion, moving_targets
from pruning.training.data import Arrays


class Batches(keras.utils.PyDataset):
    """Batches of named arrays.

    Args:
        x: Inputs by name.
        y: Targets by name.
        structures: The model's input and output structures, into which the arrays are packed.
        batch_size: Samples in a batch.
        shuffle: Draw a new order for each epoch.
        augmentation: Random changes to images, and to masks with them; `None` for validation.
        seed: Seed of order and augmentation.
        first_epoch: The epoch to start with, counted from 0: a training that goes on after an interruption
            sees the batches that it would have seen without.

    Raises:
        SpecError: The augmentation does not suit the arrays.
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
        self._augmentation = augmentation if augmentation is not None and augmentation.moves else None
        self._moving: frozenset[str] = frozenset()
        if self._augmentation is not None:
            self._moving = moving_targets(x, y, self._augmentation)
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
            motion = Motion.draw(self._augmentation, len(chosen), generator)
            x = {name: motion.apply(array) for name, array in x.items()}
            y = {name: motion.apply(array) if name in self._moving else array for name, array in y.items()}
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
