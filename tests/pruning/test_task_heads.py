"""One network of each task: trained on synthetic data, pruned, verified, fine-tuned until it is as good as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, apply_plan, prune, verify

SIZE = 16
NUM_SAMPLES = 64
Arrays = np.ndarray | dict[str, np.ndarray]


def conv(tensor: Any, width: int, size: int = 3, strides: int = 1) -> Any:
    tensor = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(tensor)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.8)(tensor))


def squares(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with one square in it, red or green.

    Returns:
        Images; row, column and side of each square, in pixels; its colour, 0 or 1.
    """
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.1, (NUM_SAMPLES, SIZE, SIZE, 3)).astype("float32")
    sides = random.integers(4, 8, NUM_SAMPLES)
    corners = random.integers(0, SIZE - sides[:, None] + 1, (NUM_SAMPLES, 2))
    colours = random.integers(0, 2, NUM_SAMPLES)
    for image, (row, column), side, colour in zip(images, corners, sides, colours, strict=True):
        image[row : row + side, column : column + side, colour] += 1
    return images, np.column_stack([corners, sides]), colours


def classification() -> tuple[keras.Model, Any, np.ndarray, Arrays]:
    """Colours of squares."""
    inputs = keras.Input((SIZE, SIZE, 3))
    hidden = shortcut = conv(inputs, 8, strides=2)
    hidden = layers.Add()(
        [shortcut, layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(conv(hidden, 16)))]
    )
    hidden = layers.GlobalAveragePooling2D()(conv(hidden, 16, strides=2))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    images, _, colours = squares()
    return model, "sparse_categorical_crossentropy", images, colours


def dense_prediction() -> tuple[keras.Model, Any, np.ndarray, Arrays]:
    """Which pixels belong to the square: a U-Net with transposed convolutions and skips."""
    inputs = keras.Input((SIZE, SIZE, 3))
    first = conv(inputs, 8)
    second = conv(layers.MaxPooling2D()(first), 12)
    deep = conv(layers.MaxPooling2D()(second), 16)
    up = layers.Concatenate()([layers.Conv2DTranspose(12, 2, 2)(deep), second])
    up = layers.Concatenate()([layers.Conv2DTranspose(8, 2, 2)(conv(up, 12)), first])
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(conv(up, 8)))
    images, places, _ = squares()
    masks = np.zeros((NUM_SAMPLES, SIZE, SIZE, 1), "float32")
    for mask, (row, column, side) in zip(masks, places, strict=True):
        mask[row : row + side, column : column + side] = 1
    return model, "binary_crossentropy", images, masks


def detection() -> tuple[keras.Model, Any, np.ndarray, Arrays]:
    """Class and box of the square in the cell of its centre, at two scales joined by a feature pyramid."""
    inputs = keras.Input((SIZE, SIZE, 3))
    fine = conv(conv(inputs, 8, strides=2), 16, strides=2)
    coarse = conv(fine, 24, strides=2)
    lateral = layers.Conv2D(12, 1)(coarse)
    merged = layers.Add()([layers.Conv2D(12, 1)(fine), layers.UpSampling2D()(lateral)])
    outputs, losses = {}, {}
    for stride, level in ((4, merged), (8, lateral)):
        level = conv(level, 16)
        outputs[f"classes_{stride}"] = layers.Conv2D(2, 1, activation="sigmoid", name=f"classes_{stride}")(level)
        outputs[f"boxes_{stride}"] = layers.Conv2D(3, 3, padding="same", name=f"boxes_{stride}")(level)
        losses |= {f"classes_{stride}": "binary_crossentropy", f"boxes_{stride}": "huber"}
    images, places, colours = squares()
    targets: dict[str, np.ndarray] = {}
    for stride in (4, 8):
        cells = SIZE // stride
        classes = targets[f"classes_{stride}"] = np.zeros((NUM_SAMPLES, cells, cells, 2), "float32")
        boxes = targets[f"boxes_{stride}"] = np.zeros((NUM_SAMPLES, cells, cells, 3), "float32")
        for index, (row, column, side) in enumerate(places):
            centre = np.array([row, column]) + side / 2
            cell = (centre // stride).astype(int)
            classes[index, *cell, colours[index]] = 1
            boxes[index, *cell] = [*(centre / stride - cell), side / stride]
    return keras.Model(inputs, outputs), losses, images, targets


def keypoints() -> tuple[keras.Model, Any, np.ndarray, Arrays]:
    """Two corners of the square as heatmaps: two stacked hourglasses, each supervised."""

    def hourglass(tensor: Any) -> Any:
        half = conv(layers.MaxPooling2D()(tensor), 12)
        quarter = layers.UpSampling2D()(conv(layers.MaxPooling2D()(half), 12))
        return layers.Add()([tensor, layers.UpSampling2D()(layers.Add()([half, quarter]))])

    inputs = keras.Input((SIZE, SIZE, 3))
    stem = conv(inputs, 12)
    features = conv(hourglass(stem), 12)
    first = layers.Conv2D(2, 1, name="first")(features)
    again = layers.Add()([stem, layers.Conv2D(12, 1)(features), layers.Conv2D(12, 1)(first)])
    second = layers.Conv2D(2, 1, name="second")(conv(hourglass(again), 12))
    images, places, _ = squares()
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij"), axis=-1)
    corners = np.stack([places[:, :2], places[:, :2] + places[:, 2:]], axis=1)
    squared = ((grid[None, :, :, None] - corners[:, None, None]) ** 2).sum(axis=-1)
    heat = np.exp(-squared / 4).astype("float32")
    return keras.Model(inputs, {"first": first, "second": second}), "mse", images, {"first": heat, "second": heat}


@pytest.mark.parametrize(
    "task", [classification, dense_prediction, detection, keypoints], ids=lambda task: task.__name__
)
def test_fine_tuning_brings_the_loss_back(task: Callable[[], tuple[keras.Model, Any, np.ndarray, Arrays]]) -> None:
    keras.utils.set_random_seed(0)
    model, loss, images, targets = task()
    losses = loss if isinstance(loss, dict) or not isinstance(targets, dict) else dict.fromkeys(targets, loss)
    model.compile(keras.optimizers.Adam(0.01), losses, jit_compile=False)
    fitted = model.fit(images, targets, batch_size=16, epochs=12, verbose=0)

    spec = PruningSpec(criterion="l1_norm", ratio=0.25, reconstruction=False)
    training = TrainingSpec(fine_tuning_epochs=30, batch_size=16, learning_rate=0.01)
    result = prune(model, spec, ((images, targets), (images, targets)), training=training)
    assert result.model.count_params() < 0.7 * model.count_params()
    assert verify(model, apply_plan(model, result.plan), result.plan).passed

    before, pruned, tuned = (step.metrics["val_loss"] for step in result.report.steps)
    assert before < 0.5 * fitted.history["loss"][0]  # the network had learnt something
    assert pruned > 1.1 * before  # which the prune took from it
    assert tuned <= 1.1 * before
    again = result.model.evaluate(images, targets, verbose=0, return_dict=True)["loss"]
    assert again == pytest.approx(tuned, rel=1e-3)
