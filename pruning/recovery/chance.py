"""Where layers without a generator of their own get random numbers from."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator


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

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        _reseed(self._seed, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        _reseed(self._seed, self._num_epochs)


def _reseed(*entropy: int) -> None:
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    if keras.backend.backend() != "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    # TensorFlow's own seed stays: with a new one it would optimise the graph of each step again. Keras would make a
    # new generator, of which a step that is traced already knows nothing.
    random.seed(seed)
    np.random.seed(seed)
    global_seed_generator().state.assign(keras.random.SeedGenerator(seed).state)
