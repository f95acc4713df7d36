"""Which changes to images are chosen for training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, prune
from pruning.errors import SpecError
from pruning.recovery.harmless import harmless
from pruning.selection.drop import WatchedMetric
from pruning.spec import Augmentation

FLIP, CROP = Augmentation(horizontal_flip=True), Augmentation(crop=1)
WATCHED = WatchedMetric(PruningSpec(ratio=0.5), {"val_accuracy": 0.0})


def chosen(plain: float, shuffled: float, flipped: float | None, cropped: float) -> set[str]:
    figures = {Augmentation(): plain, None: shuffled, FLIP: flipped, CROP: cropped}

    def measure(change: Augmentation | None) -> dict[str, float]:
        figure = next(value for key, value in figures.items() if key == change)
        if figure is None:
            raise SpecError("does not suit")
        return {"val_accuracy": figure}

    found = harmless([FLIP, CROP], WATCHED, measure)
    return {name for name in ("horizontal_flip", "crop") if getattr(found, name)}


@pytest.mark.parametrize(
    ("plain", "shuffled", "flipped", "cropped", "expected"),
    [
        (0.9, 0.1, 0.9, 0.87, {"horizontal_flip", "crop"}),
        (0.9, 0.1, 0.85, 0.9, {"crop"}),
        (0.9, 0.1, None, 0.95, {"crop"}),
        (0.12, 0.1, 0.12, 0.12, set()),
        (float("nan"), 0.1, 0.9, 0.9, set()),
    ],
)
def test_only_what_costs_next_to_nothing_of_what_is_known(
    plain: float, shuffled: float, flipped: float | None, cropped: float, expected: set[str]
) -> None:
    assert chosen(plain, shuffled, flipped, cropped) == expected


def sided(images: np.ndarray) -> np.ndarray:
    """Return whether the left half of each image is the brighter one: what a flip turns over."""
    return (images[:, :, :4].mean(axis=(1, 2, 3)) > images[:, :, 4:].mean(axis=(1, 2, 3))).astype(int)


def bright(images: np.ndarray) -> np.ndarray:
    """Return whether each image is bright, which no flip changes."""
    return (images.mean(axis=(1, 2, 3)) > 0).astype(int)


@pytest.mark.parametrize(("label", "is_flipped"), [(sided, False), (bright, True)])
def test_a_run_trains_with_flips_only_where_the_original_does_not_mind(label: object, is_flipped: bool) -> None:
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(600, 8, 8, 1)) + generator.normal(size=(600, 1, 1, 1)).astype("float32")
    images[:, :, :4] += generator.normal(size=(600, 1, 1, 1))
    labels = label(images)  # type: ignore[operator]
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dense(8, activation="relu")(x)))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    data = ((images[:300], labels[:300]), (images[300:], labels[300:]))
    training = TrainingSpec(epochs=20, fine_tuning_epochs=1)
    result = prune(model, {"target_params": 0.6}, data, training=training, is_timed=False)
    told = [note for note in result.report.notes if "images are augmented" in note]
    assert any("horizontal_flip" in note for note in told) == is_flipped
