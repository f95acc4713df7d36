"""Mixup: inputs, targets and weights are mixed alike, the same each time, and refused where a mean means nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pruning.errors import SpecError
from pruning.spec import Augmentation
from pruning.training.batches import Batches
from pruning.training.mixup import Mixup, require_mixable

X = np.random.default_rng(0).integers(0, 256, (16, 4, 4, 1), dtype="uint8")
Y = np.eye(16, dtype="float32")


def batches(mixup: float, weights: dict[str, np.ndarray] | None = None, **options: int) -> Batches:
    augmentation = Augmentation(mixup=mixup)
    return Batches({"": X}, {"": Y}, (0, 0), batch_size=16, augmentation=augmentation, weights=weights, **options)


def test_inputs_targets_and_weights_are_the_same_means() -> None:
    x, y, weights = batches(0.5, {"": np.arange(16, dtype="float32")})[0]
    # Targets of one sample each tell how much of which sample is in it.
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(x, np.tensordot(y, X.astype("float32"), axes=1), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(weights, y @ np.arange(16, dtype="float32"), rtol=1e-4, atol=1e-5)
    assert ((y > 0.01).sum(axis=1) == 2).any()


def test_shares_follow_the_beta_distribution() -> None:
    shares = Mixup.draw(0.4, 20_000, np.random.default_rng(0)).shares
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05)


def test_the_same_each_time_and_another_each_epoch() -> None:
    first, again, later = batches(0.2)[0], batches(0.2)[0], batches(0.2, first_epoch=1)[0]
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], later[0])


def test_no_mixup_by_default() -> None:
    x, y = batches(0.0)[0]
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)


def test_words_and_bare_labels_do_not_mix() -> None:
    floats = {"": np.ones((4, 3), "float32")}
    with pytest.raises(SpecError, match="the input"):
        require_mixable({"": np.ones((4, 3), "int64")}, floats, frozenset())
    with pytest.raises(SpecError, match="targets of out"):
        require_mixable(floats, {"out": np.arange(4)}, frozenset())
    require_mixable({"": X}, {"out": np.arange(16) % 2}, frozenset({"out"}))
