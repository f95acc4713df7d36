"""A run that is interrupted ends like one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pruning.run.runs import assert_same, count_checkpoints, interrupted_after, run

ITERATED = {"criterion": "kmeans", "ratio": 0.25, "num_iterations": 2}
AUTOMATIC = {"fine_tuning_epochs": "auto", "learning_rate": 0.03, "ema": 0.9, "distillation": {"features": 0.1}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "iterations": (ITERATED, {}),
    "mixed precision": ({"ratio": 0.25, "freeze": ["first"]}, {"mixed_precision": True}),
    "early stop": (
        {"criterion": "taylor", "target_macs": 0.5},
        {"fine_tuning_epochs": "auto", "max_train_samples": 64},
    ),
    "sweep": ({"sweep": {"criteria": ["l1_norm", "random"], "sizes": [0.6, 0.4]}}, {"epochs": 1}),
    "search": ({"max_metric_drop": 0.2, "search": {"max_trials": 3}, "baselines": {"num_seeds": 1}}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_goes_on_from_any_checkpoint_and_ends_the_same(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, training = CASES[case]
    whole = run(None, spec, training)
    number = count_checkpoints(monkeypatch, tmp_path / "counted", spec, **training)
    for stop in sorted({1, 3, number // 2, number - 2}):
        directory = tmp_path / str(stop)
        with interrupted_after(monkeypatch, stop):
            run(directory, spec, training)
        assert_same(run(directory, spec, training), whole)
