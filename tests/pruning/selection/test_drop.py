"""Which metric is watched, and in which direction it is better."""

from __future__ import annotations

import pytest

from pruning.errors import SpecError
from pruning.selection.drop import WatchedMetric, shortfall
from pruning.spec import PruningSpec


@pytest.mark.parametrize(
    ("measured", "metric", "worse"),
    [
        ("loss", None, 0.25),
        ("accuracy", None, -0.25),
        ("kind_accuracy", None, -0.25),
        ("auc_1", "auc_1", -0.25),
        ("mean_io_u", None, -0.25),
        ("mean_absolute_error", None, 0.25),
        ("head_loss", "head_loss", 0.25),
    ],
)
def test_direction(measured: str, metric: str | None, worse: float) -> None:
    before, after = {"loss": 0.5, measured: 0.5}, {"loss": 0.75, measured: 0.75}
    watched = WatchedMetric(PruningSpec(ratio=0.5, max_metric_drop=0.1, metric=metric), before)
    drop = watched.drop(before, after)
    assert (drop.metric, drop.value) == (measured, worse)


def test_a_metric_of_unknown_direction_is_refused() -> None:
    with pytest.raises(SpecError, match="more or less"):
        WatchedMetric(PruningSpec(ratio=0.5, max_metric_drop=0.1), {"loss": 1.0, "beauty": 3.0})


@pytest.mark.parametrize(
    ("asked", "name", "before", "after", "is_told"),
    [
        ({}, "accuracy", 0.9, 0.8, True),
        ({}, "accuracy", 0.9, 0.86, False),
        ({}, "accuracy", 0.8, 0.9, False),
        ({"max_metric_drop": 0.01}, "accuracy", 0.9, 0.88, True),
        ({"max_metric_drop": 0.2}, "accuracy", 0.9, 0.8, False),
        ({}, "mean_absolute_error", 0.3, 0.9, False),
        ({"max_metric_drop": 0.1, "metric": "mean_absolute_error"}, "mean_absolute_error", 0.3, 0.9, True),
        ({}, "beauty", 0.9, 0.1, False),
    ],
)
def test_a_model_far_below_the_original_is_told_of(
    asked: dict[str, object], name: str, before: float, after: float, is_told: bool
) -> None:
    spec = PruningSpec.model_validate({"ratio": 0.5, **asked})
    line = shortfall(spec, {"loss": 1.0, name: before}, {"loss": 1.0, name: after})
    assert (line is not None) == is_told
    assert line is None or f"{name} went from {before:.4f} to {after:.4f}" in line


def test_without_data_nothing_is_told() -> None:
    assert shortfall(PruningSpec(ratio=0.5), {}, {}) is None
