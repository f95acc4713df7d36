"""Which metric is watched, and in which direction it is better."""

from __future__ import annotations

import pytest

from pruning.errors import SpecError
from pruning.selection.drop import WatchedMetric, far_apart
from pruning.spec import PruningSpec


@pytest.mark.parametrize(
    ("measured", "metric", "worse"),
    [
        ("val_loss", None, 0.25),
        ("val_accuracy", None, -0.25),
        ("val_accuracy", "accuracy", -0.25),
        ("val_accuracy", "val_accuracy", -0.25),
        ("val_kind_accuracy", None, -0.25),
        ("val_auc_1", "auc_1", -0.25),
        ("val_mean_io_u", None, -0.25),
        ("val_mean_absolute_error", None, 0.25),
        ("val_head_loss", "head_loss", 0.25),
    ],
)
def test_direction(measured: str, metric: str | None, worse: float) -> None:
    before, after = {"val_loss": 0.5, measured: 0.5}, {"val_loss": 0.75, measured: 0.75}
    watched = WatchedMetric(PruningSpec(ratio=0.5, max_metric_drop=0.1, metric=metric), before)
    drop = watched.drop(before, after)
    assert (drop.metric, drop.value) == (measured, worse)


@pytest.mark.parametrize("metric", ["beauty", "val_beauty"])
def test_a_metric_that_is_not_there_is_refused_with_the_names(metric: str) -> None:
    with pytest.raises(SpecError) as caught:
        WatchedMetric(
            PruningSpec(ratio=0.5, max_metric_drop=0.1, metric=metric), {"val_loss": 1.0, "val_accuracy": 0.5}
        )
    assert (caught.value.received, caught.value.expected) == (metric, "one of val_loss, val_accuracy")


def test_a_metric_of_unknown_direction_is_refused() -> None:
    with pytest.raises(SpecError, match="more or less"):
        WatchedMetric(PruningSpec(ratio=0.5, max_metric_drop=0.1), {"val_loss": 1.0, "val_beauty": 3.0})


@pytest.mark.parametrize(
    ("asked", "name", "before", "after", "is_told"),
    [
        ({}, "accuracy", 0.9, 0.8, True),
        ({}, "accuracy", 0.9, 0.86, False),
        ({}, "accuracy", 0.8, 0.84, False),
        ({}, "accuracy", 0.1, 0.98, True),
        ({"max_metric_drop": 0.2}, "accuracy", 0.1, 0.98, True),
        ({"max_metric_drop": 0.01}, "accuracy", 0.9, 0.88, True),
        ({"max_metric_drop": 0.2}, "accuracy", 0.9, 0.8, False),
        ({}, "mean_absolute_error", 0.3, 0.9, False),
        ({"max_metric_drop": 0.1, "metric": "mean_absolute_error"}, "mean_absolute_error", 0.3, 0.9, True),
        ({}, "beauty", 0.9, 0.1, False),
    ],
)
def test_a_model_far_from_the_original_is_told_of(
    asked: dict[str, object], name: str, before: float, after: float, is_told: bool
) -> None:
    spec = PruningSpec.model_validate({"ratio": 0.5, **asked})
    name = f"val_{name}"
    line = far_apart(spec, {"val_loss": 1.0, name: before}, {"val_loss": 1.0, name: after})
    assert (line is not None) == is_told
    assert line is None or f"{name} went from {before:.4f} to {after:.4f}" in line
    assert line is None or ("gain" in line) == (after > before and "accuracy" in name)


def test_without_data_nothing_is_told() -> None:
    assert far_apart(PruningSpec(ratio=0.5), {}, {}) is None
