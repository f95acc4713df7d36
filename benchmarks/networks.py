"""Trained networks and the data they are measured on: one trained here, and those of files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from pruning import load_model
from pruning.datasets.builtin import load_builtin
from pruning.datasets.data import Data
from pruning.datasets.images import Wanted, load_images

BATCH_SIZE = 128


@dataclass(frozen=True)
class Network:
    """A trained model with samples.

    Attributes:
        model: Compiled for class numbers.
        x_train: Training inputs, shape `(num_samples, height, width, channels)`.
        y_train: Their class numbers.
        x_val: Inputs to measure on.
        y_val: Their class numbers.
    """

    model: keras.Model
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray

    @classmethod
    def of(cls, model: keras.Model, data: Data, num_val: int) -> Network:
        """Compile a model and take the first validation samples of a shuffled set."""
        compiled(model)
        order = np.random.default_rng(0).permutation(data.num_val)[:num_val]
        (x_train,), (y_train,) = data.x_train.values(), data.y_train.values()
        (x_val,), (y_val,) = data.x_val.values(), data.y_val.values()
        return cls(model, np.array(x_train), np.array(y_train), np.array(x_val[order]), np.array(y_val[order]))

    def accuracy(self, model: keras.Model) -> float:
        """Return the share of the validation samples that a model of the same task gets right."""
        right = 0
        for start in range(0, len(self.x_val), 2 * BATCH_SIZE):
            outputs = keras.ops.convert_to_numpy(model(self.x_val[start : start + 2 * BATCH_SIZE], training=False))
            right += int(np.sum(np.argmax(outputs, axis=1) == self.y_val[start : start + 2 * BATCH_SIZE]))
        return right / len(self.x_val)

    def refresh(self, model: keras.Model, num_samples: int) -> None:
        """Measure the statistics of every BatchNormalization anew, in place, as a mean over training samples."""
        normalisations = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
        momenta = [layer.momentum for layer in normalisations]
        order = np.random.default_rng(0).permutation(len(self.x_train))[:num_samples]
        batches = np.array_split(order, max(1, len(order) // BATCH_SIZE))
        for index, batch in enumerate(batches):
            for layer in normalisations:
                layer.momentum = index / (index + 1)
            model(self.x_train[batch], training=True)
        for layer, momentum in zip(normalisations, momenta, strict=True):
            layer.momentum = momentum

    def fine_tune(self, model: keras.Model, num_steps: int, learning_rate: float) -> None:
        """Train a model of the same task in place, with momentum and a rate that falls as a cosine."""
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        # Eager: tracing a network anew for each prune takes longer than a few steps do.
        compiled(model, keras.optimizers.SGD(rate, momentum=0.9), run_eagerly=True)
        generator = np.random.default_rng(0)
        order = np.concatenate([generator.permutation(len(self.x_train)) for _ in range(1 + num_steps // 10)])
        for step in range(num_steps):
            batch = np.take(order, range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE), mode="wrap")
            model.train_on_batch(self.x_train[batch], self.y_train[batch])


def compiled(model: keras.Model, optimizer: Any = "sgd", **options: Any) -> None:
    """Compile a model for class numbers."""
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False, **options)


def digits(seed: int) -> Network:
    """Return a network of two residual stages, trained on the built-in digits from a seed."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 1), name="image")
    x = block(layers.Rescaling(1 / 16)(inputs), 16)
    x = layers.Add()([x, block(block(x, 16), 16)])
    x = layers.MaxPooling2D()(block(x, 32))
    x = layers.Add()([x, block(block(x, 32), 32)])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="digits")
    data = load_builtin("digits")
    (images,), (classes,) = data.x_train.values(), data.y_train.values()
    compiled(model, keras.optimizers.Adam(0.003))
    model.fit(images, classes, batch_size=64, epochs=20, verbose=0)
    return Network.of(model, data, num_val=1000)


def block(x: Any, filters: int) -> Any:
    """Convolve, normalize, rectify."""
    x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))


def from_files(model: Path, images: Path, num_train: int, num_val: int) -> Network:
    """Return a network of a model file and a zip of images in class folders."""
    loaded = load_model(model)
    with tempfile.TemporaryDirectory() as scratch:
        data = load_images(images, Wanted.by(loaded), Path(scratch), num_train, seed=0)
        return Network.of(loaded, data, num_val)
