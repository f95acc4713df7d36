"""Augmentation: what moves, what moves with it, and what is refused because nobody can tell."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

from pruning.datasets.data import Data
from pruning.errors import SpecError
from pruning.spec import Augmentation, TrainingSpec
from pruning.training.augmentation import Motion, moving_targets
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling

ALL = Augmentation(horizontal_flip=True, vertical_flip=True, crop=1, shift=0.3)
FLIPS = Augmentation(horizontal_flip=True, vertical_flip=True)


def moved(images: np.ndarray, augmentation: Augmentation, seed: int = 0) -> np.ndarray:
    return Motion.draw(augmentation, len(images), np.random.default_rng(seed)).apply(images)


@pytest.fixture
def images() -> np.ndarray:
    return np.arange(1, 2 * 3 * 4 * 2 + 1, dtype="uint8").reshape(2, 3, 4, 2)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "bool"])
def test_flips_are_all_four_and_nothing_else(images: np.ndarray, dtype: str) -> None:
    image = images[0].astype(dtype) if dtype != "bool" else images[0] % 3 == 0
    views = {image[::v, ::h].tobytes() for v, h in product((1, -1), repeat=2)}
    assert {each.tobytes() for each in moved(np.repeat(image[None], 100, axis=0), FLIPS)} == views


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip"])
def test_one_flip_alone(images: np.ndarray, name: str) -> None:
    views = {images[0].tobytes(), (images[0][:, ::-1] if name == "horizontal_flip" else images[0][::-1]).tobytes()}
    many = moved(np.repeat(images[:1], 50, axis=0), Augmentation.model_validate({name: True}))
    assert {each.tobytes() for each in many} == views


@pytest.mark.parametrize("augmentation", [Augmentation(crop=1), Augmentation(shift=0.3)])
def test_crop_and_shift_are_windows_of_the_padded_image_each_as_likely(
    images: np.ndarray, augmentation: Augmentation
) -> None:
    padded = np.pad(images[0], ((1, 1), (1, 1), (0, 0)))
    windows = [padded[top : top + 3, left : left + 4].tobytes() for top, left in product(range(3), repeat=2)]
    found = [each.tobytes() for each in moved(np.repeat(images[:1], 900, axis=0), augmentation)]
    counts = [found.count(window) for window in windows]
    assert sum(counts) == 900
    assert min(counts) > 60


def test_the_data_is_left_alone(images: np.ndarray) -> None:
    before = images.copy()
    moved(images, ALL)
    np.testing.assert_array_equal(images, before)


X = np.random.default_rng(0).normal(size=(24, 10, 8, 1)).astype("float32")
MASKS: dict[str, Any] = {
    "labels of pixels": lambda x: (x[..., 0] > 0).astype("int64"),
    "truth values": lambda x: x > 0,
    "one map a class": lambda x: np.concatenate([x > 0, x < -1], axis=-1).astype("float32"),
    "an image": lambda x: 2 * x,
}


@pytest.mark.parametrize("mask_of", MASKS.values(), ids=list(MASKS))
def test_masks_move_with_their_images(mask_of: Any) -> None:
    batches = Batches({"": X}, {"": mask_of(X)}, (0, 0), batch_size=7, shuffle=True, augmentation=ALL, seed=2)
    seen = []
    for index in range(len(batches)):
        x, y = batches[index]
        np.testing.assert_array_equal(y, mask_of(x))
        seen += [image.tobytes() for image in x]
    assert len(set(seen) & {image.tobytes() for image in X}) < len(X)


def test_several_images_of_a_sample_move_together_whatever_their_size() -> None:
    # One bright pixel at the same relative place, in steps that both sizes have.
    small, large = np.zeros((64, 8, 8, 1)), np.zeros((64, 16, 16, 3))
    small[:, 4, 4], large[:, 8:10, 8:10] = 1, 1
    motion = Motion.draw(FLIPS, 64, np.random.default_rng(0))
    np.testing.assert_array_equal(motion.apply(large)[:, ::2, ::2, :1], motion.apply(small))
    batches = Batches({"a": X, "b": X + 5}, {"": np.zeros(24)}, ([0, 0], 0), batch_size=24, augmentation=FLIPS)
    (first, second), _ = batches[0]
    np.testing.assert_array_equal(second, first + 5)


WHOLE = {
    "labels": np.arange(24),
    "labels in a column": np.arange(24)[:, None],
    "one number": X[:, 0, 0],
    "one-hot": np.eye(3)[np.arange(24) % 3],
    "probabilities": np.full((24, 3), 1 / 3, "float32"),
    "several labels": np.arange(72).reshape(24, 3) % 2,
    "truth values": np.ones((24, 3), bool),
}
PLACES = {
    "keypoints": X[:, :4, 0, 0],
    "keypoints as shares": np.clip(np.abs(X[:, :4, 0, 0]), 0, 1),
    "boxes in pixels": np.arange(96).reshape(24, 4),
    "keypoints in pairs": X[:, :3, :2, 0],
    "maps of another size": (X[:, ::2, ::2] > 0).astype("int64"),
}


@pytest.mark.parametrize("target", WHOLE.values(), ids=list(WHOLE))
def test_what_is_about_the_whole_image_stays(target: np.ndarray) -> None:
    _, y = Batches({"": X}, {"": target}, (0, 0), batch_size=24, augmentation=ALL)[0]
    np.testing.assert_array_equal(y, target)


@pytest.mark.parametrize("target", PLACES.values(), ids=list(PLACES))
def test_what_may_be_places_is_refused_unless_the_caller_knows(target: np.ndarray) -> None:
    with pytest.raises(SpecError, match="unclear whether the targets") as caught:
        moving_targets({"": X}, {"": target}, ALL)
    assert caught.value.field == "training.augmentation.targets"
    known = ALL.model_copy(update={"targets": "unchanged"})
    _, y = Batches({"": X}, {"": target}, (0, 0), batch_size=24, augmentation=known)[0]
    np.testing.assert_array_equal(y, target)


def test_it_is_refused_before_anything_is_trained() -> None:
    model = keras.Sequential([keras.Input((10, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    data = Data.of((X, PLACES["keypoints"])).fit_to(model)
    settings = Compiling(model, TrainingSpec(loss="mse", augmentation=Augmentation(crop=1)), data)
    with pytest.raises(SpecError, match="unclear whether the targets"):
        settings.fit_targets(data)


def test_augmentation_needs_images() -> None:
    with pytest.raises(SpecError, match="needs images"):
        moving_targets({"": np.ones((2, 3))}, {"": np.ones(2)}, Augmentation(horizontal_flip=True))


def test_no_augmentation_asks_nothing_of_the_data() -> None:
    assert not moving_targets({"": np.ones((2, 3))}, {"": np.ones((2, 4, 2))}, Augmentation())
