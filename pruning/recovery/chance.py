"""Random numbers by epoch."""

from __future__ import annotations

import keras

from pruning.keras_model.randomness import reseed


class Chance(keras.callbacks.Callback):
    """Give each epoch random numbers that depend on nothing but its number.

    A training that goes on after an interruption has not drawn those of the epochs before. The layers of Keras draw
    from generators whose states are variables of the model; this is for all others.

    Args:
        seed: Sets trainings apart.
        num_epochs: The number that is left behind in the end, whichever epoch was the last.
    """

    def __init__(self, seed: int, num_epochs: int) -> None:
        super().__init__()
        self._seed, self._num_epochs = seed, num_epochs

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        reseed(self._seed, epoch)

    def on_train_end(self, logs: object = None) -> None:
        reseed(self._seed, self._num_epochs)
