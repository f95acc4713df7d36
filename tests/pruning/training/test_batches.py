"""Batches: order, completeness, augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning.spec import Augmentation
from pruning.training.batches import Batches

X, Y = {"": np.arange(10)[:, None]}, {"": np.arange(10)}


def epoch(batches: Batches) -> list[int]:
    return [int(label) for index in range(len(batches)) for label in batches[index][1]]


def test_every_sample_once_in_a_new_order_each_epoch() -> None:
    batches = Batches(X, Y, (0, 0), batch_size=4, shuffle=True, seed=1)
    first = epoch(batches)
    batches.on_epoch_end()
    second = epoch(batches)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second != list(range(10))


def test_the_same_seed_gives_the_same_order() -> None:
    assert epoch(Batches(X, Y, (0, 0), batch_size=3, shuffle=True, seed=5)) == epoch(
        Batches(X, Y, (0, 0), batch_size=3, shuffle=True, seed=5)
    )


@pytest.mark.parametrize("shuffle", [False, True])
def test_of_some_samples_each_comes_once(shuffle: bool) -> None:
    chosen = np.array([7, 2, 5])
    found = epoch(Batches(X, Y, (0, 0), batch_size=2, shuffle=shuffle, seed=1, samples=chosen))
    assert sorted(found) == [2, 5, 7]
    assert shuffle or found == [7, 2, 5]


def test_an_interrupted_training_goes_on_with_the_batches_that_it_would_have_seen() -> None:
    images = {"": np.random.default_rng(0).integers(0, 255, (10, 6, 6, 1), "uint8")}
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 3}
    options["augmentation"] = Augmentation(horizontal_flip=True, crop=2)
    whole = Batches(images, Y, (0, 0), **options)
    whole.on_epoch_end()
    whole.on_epoch_end()
    resumed = Batches(images, Y, (0, 0), first_epoch=2, **options)
    for index in range(len(whole)):
        for expected, received in zip(whole[index], resumed[index], strict=True):
            np.testing.assert_array_equal(received, expected)


def test_several_arrays_are_packed_as_the_model_takes_them() -> None:
    batches = Batches({"b": X[""], "a": X[""] * 2}, Y, ([0, 0], 0), batch_size=10)
    (first, second), labels = batches[0]
    np.testing.assert_array_equal(second, first * 2)
    np.testing.assert_array_equal(labels, Y[""])
