"""A run that is interrupted ends like one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pruning.run.runs import assert_same, counted, interrupted_after, run

ITERATED = {"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2}
AUTOMATIC = {"fine_tuning_epochs": "auto", "learning_rate": 0.03, "ema": 0.9, "distillation": {"features": 0.1}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "iterations": (ITERATED, {}),
    "mixed precision": ({"ratio": 0.25, "freeze": ["first"]}, {"mixed_precision": True}),
    "early stop": ({"criterion": "taylor", "target_macs": 0.5}, AUTOMATIC),
    "sweep": ({"sweep": {"criteria": ["l1_norm", "random"], "sizes": [0.5]}}, {"epochs": 1}),
    "search": ({"max_metric_drop": 0.2, "search": {"max_trials": 3}, "baselines": {"num_seeds": 1}}, {}),
}
STOPS = {"iterations": [1, 3, 9], "early stop": [5, -1]}
"""Case → after how many checkpoints it is interrupted, or at how many to the last; in the middle, if not here."""


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_from_any_checkpoint_and_ends_the_same(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, training = CASES[case]
    number, whole = counted(monkeypatch, tmp_path / "whole", spec, training)
    for stop in STOPS.get(case, [number // 2]):
        directory = tmp_path / str(stop)
        with interrupted_after(monkeypatch, stop % number):
            run(directory, spec, training)
        assert_same(run(directory, spec, training), whole)
