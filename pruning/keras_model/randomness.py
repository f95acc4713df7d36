"""Where layers without a generator of their own get random numbers from."""

from __future__ import annotations

import random

import keras
import numpy as np
from keras.src.random.seed_generator import global_seed_generator


def reseed(*entropy: int) -> None:
    """Set the seed of them all; what is traced already draws on from it, too."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    if keras.backend.backend() != "tensorflow":
        keras.utils.set_random_seed(seed)
        return
    # TensorFlow's own seed stays: with a new one it would optimise the graph of each step again. Keras would make a
    # new generator, of which a step that is traced already knows nothing.
    random.seed(seed)
    np.random.seed(seed)
    global_seed_generator().state.assign(keras.random.SeedGenerator(seed).state)
