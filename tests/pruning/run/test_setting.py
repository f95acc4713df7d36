"""What is measured once for a whole run, and holds in all its trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import pytest

from pruning import prune
from pruning.measure import Latency
from pruning.selection.goals import Stopwatch
from tests.pruning.models import residual


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let calls take no time at first and too long later, and tell how often the original was timed."""
    made: list[str] = []
    make, measure = Stopwatch.__init__, Stopwatch.measure

    def counted(self: Stopwatch, *arguments: Any) -> None:
        made.append("original")
        make(self, *arguments)

    def too_long(self: Stopwatch, model: keras.Model) -> Latency:
        return replace(measure(self, model), seconds=200.0)

    monkeypatch.setattr(Stopwatch, "__init__", counted)
    monkeypatch.setattr(Stopwatch, "measure", too_long)
    return made


LIMIT = {"target_latency": {"seconds": 100.0}}


def test_a_limit_on_calls_holds_for_every_size_of_a_sweep(timed: list[str]) -> None:
    result = prune(residual(), {**LIMIT, "sweep": {"sizes": [0.6]}}, is_timed=False)
    assert [row.target_latency_seconds for row in result.report.steps] == [200.0] * len(result.report.steps)
    assert not result.goal_met
    assert "target_latency" in result.report.stopped_because


def test_the_original_is_timed_once_in_a_run(timed: list[str]) -> None:
    prune(
        residual(),
        {**LIMIT, "ratio": 0.2, "num_iterations": 1, "sweep": {"criteria": ["l1_norm", "random"]}},
        is_timed=False,
    )
    assert timed == ["original"]
