"""Batches of arrays for Keras, shuffled and augmented reproducibly on every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Arrays, Inputs, Targets
from pruning.datasets.rows import taken
from pruning.spec import Augmentation
from pruning.training.augmentation import Motion, moving_targets
from pruning.training.mixup import Mixup
from pruning.training.soft_labels import LabelSmoothing


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
        weights: What each sample, or each entry of its targets, counts in the loss, by output; empty: all alike.
        smoothing: How targets are smoothed, by output.
        samples: Numbers of the samples that there are; all if not given. Nothing is copied: TensorFlow keeps what it
            takes batches from, with all arrays that it holds, for as long as the process lives.
        is_filled: Whether the last batch is filled up with samples of the first ones: some models take no other size.
        first_epoch: The epoch to start with, counted from 0: a training that goes on after an interruption
            sees the batches that it would have seen without.

    Raises:
        SpecError: The augmentation does not suit the arrays.
    """

    def __init__(
        self,
        x: Inputs,
        y: Targets,
        structures: tuple[Any, Any],
        *,
        batch_size: int,
        shuffle: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        weights: Arrays | None = None,
        smoothing: Mapping[str, LabelSmoothing] | None = None,
        samples: np.ndarray | None = None,
        is_filled: bool = False,
    ) -> None:
        super().__init__()
        self._x, self._y = x, y
        self._structures = structures
        self._batch_size = batch_size
        self._augmentation = Augmentation() if augmentation is None else augmentation
        self._moving = moving_targets(x, y, self._augmentation)
        self._weights, self._smoothing = weights or {}, smoothing or {}
        self._seed, self._epoch = seed, first_epoch
        self._samples = np.arange(len(next(iter(x.values())))) if samples is None else samples
        self._shuffle, self._is_filled = shuffle, is_filled
        self._order = self._draw()

    def __len__(self) -> int:
        return -(-len(self._samples) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return inputs and targets and, where there are weights, weights."""
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        x = taken(self._x, chosen)
        y = taken(self._y, chosen)
        weights = {name: array[chosen] for name, array in self._weights.items()}
        if self._augmentation.moves:
            x, y, weights = self._moved(x, y, weights, self._generator(index, 0))
        y |= {name: smoothing.apply(y[name]) for name, smoothing in self._smoothing.items()}
        if self._augmentation.mixup:
            mixup = Mixup.draw(self._augmentation.mixup, len(chosen), self._generator(index, 1))
            x, y, weights = ({name: mixup.apply(each) for name, each in part.items()} for part in (x, y, weights))
        packed = self._pack(self._structures[0], x), self._pack(self._structures[1], y)
        return (*packed, self._pack(self._structures[1], weights)) if weights else packed

    def on_epoch_end(self) -> None:
        """Draw the order of the next epoch."""
        self._epoch += 1
        self._order = self._draw()

    def _generator(self, index: int, use: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self._epoch, index, use])

    def _moved(
        self, x: Arrays, y: Arrays, weights: Arrays, generator: np.random.Generator
    ) -> tuple[Arrays, Arrays, Arrays]:
        motion = Motion.draw(self._augmentation, len(next(iter(x.values()))), generator)
        moving = {name: motion.apply(y[name]) for name in self._moving}
        # Weights of pixels move as the pixels do; a sample's one weight is the sample's wherever it is.
        maps = {
            name: motion.apply(each)
            for name, each in weights.items()
            if name in self._moving and each.shape[1:3] == y[name].shape[1:3]
        }
        return {name: motion.apply(each) for name, each in x.items()}, y | moving, weights | maps

    def _pack(self, structure: Any, arrays: Arrays) -> Any:
        values = list(arrays.values())
        if len(values) == 1:
            return values[0]
        # Tuples, because TensorFlow's data pipeline takes a list for a tensor.
        return keras.tree.lists_to_tuples(keras.tree.pack_sequence_as(structure, values))

    def _draw(self) -> np.ndarray:
        order = self._samples
        if self._shuffle:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(order)
        return np.resize(order, len(self) * self._batch_size) if self._is_filled else order
