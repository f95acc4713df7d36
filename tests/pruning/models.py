"""Small models that several test files use."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from tests.strategies import randomise


def residual(*, width: int = 8, classes: int = 4, compiled: bool = False) -> keras.Model:
    """A residual block between a stem and a head: the two inputs of the Add share their channels."""
    inputs = keras.Input((8, 8, 3), name="image")
    stem = layers.Conv2D(width, 3, padding="same", name="stem")(inputs)
    hidden = layers.BatchNormalization(name="stem_bn")(stem)
    hidden = shortcut = layers.ReLU(name="stem_relu")(hidden)
    hidden = layers.Conv2D(2 * width, 3, padding="same", name="expand")(hidden)
    hidden = layers.BatchNormalization(name="expand_bn")(hidden)
    hidden = layers.ReLU(name="expand_relu")(hidden)
    hidden = layers.Conv2D(width, 3, padding="same", name="project")(hidden)
    hidden = layers.Add(name="add")([shortcut, hidden])
    hidden = layers.GlobalAveragePooling2D(name="pool")(hidden)
    outputs = layers.Dense(classes, activation="softmax", name="head")(hidden)
    model = keras.Model(inputs, outputs, name="residual")
    randomise(model, seed=1)
    if compiled:
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def blobs(num_samples: int = 96, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images whose mean colour tells their class."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, num_samples)
    images = generator.normal(size=(num_samples, 8, 8, 3)) + labels[:, None, None, None]
    return images.astype("float32"), labels


def half() -> keras.Model:
    """A layer whose variables NumPy has no type for."""
    keras.config.set_dtype_policy("bfloat16")
    try:
        inputs = keras.Input((4,))
        return keras.Model(inputs, layers.Dense(3)(inputs))
    finally:
        keras.config.set_dtype_policy("float32")


def values(model: keras.Model) -> list[np.ndarray]:
    """Return copies of all variables."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]


def same(first: Any, second: Any) -> bool:
    """Tell whether two lists of arrays are equal, bit for bit."""
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
