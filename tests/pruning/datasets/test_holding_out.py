"""What is held out for validation: a share of each class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.datasets.holding_out import held_out


@given(st.lists(st.integers(0, 4), min_size=2, max_size=200), st.floats(0.01, 0.99), st.integers(0, 5))
def test_each_class_gives_its_share(labels: list[int], share: float, seed: int) -> None:
    y = np.array(labels)
    num_held = min(max(1, round(share * len(y))), len(y) - 1)
    held = held_out({"": y}, len(y), num_held, seed)
    assert len(np.unique(held)) == num_held
    assert held.tolist() == sorted(held)
    for label in set(labels):
        assert abs((y[held] == label).sum() - (y == label).sum() * num_held / len(y)) < 1


@pytest.mark.parametrize(
    "targets",
    [
        {"": np.eye(2, dtype=np.float32)[[0, 1] * 5 + [0] * 90]},
        {"": np.array([0, 1] * 5 + [0] * 90)[:, None]},
        {"a": np.linspace(0, 1, 100), "b": np.array([0, 1] * 5 + [0] * 90)},
    ],
    ids=["one-hot", "a column", "the second output"],
)
def test_what_counts_as_classes(targets: dict[str, np.ndarray]) -> None:
    for seed in range(5):
        held = held_out(targets, 100, 20, seed)
        assert (held % 2 * (held < 10)).sum() == 1


@pytest.mark.parametrize("y", [np.linspace(0, 1, 100), np.ones((100, 2, 2), np.int64), np.eye(2)[[1] * 100] * 0.5])
def test_other_targets_are_drawn_at_random(y: np.ndarray) -> None:
    draws = [held_out({"": y}, 100, 20, seed).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 20
