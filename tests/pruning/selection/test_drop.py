"""Which metric is watched, and in which direction it is better."""

from __future__ import annotations

import pytest

from pruning.errors import SpecError
from pruning.selection.drop import WatchedMetric
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
