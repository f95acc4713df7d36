"""How far a run says that it is."""

from __future__ import annotations

from typing import Any

import pytest

from pruning import prune
from pruning.progress import Progress, never_falling
from tests.pruning.models import blobs, residual


def test_what_is_estimated_anew_never_falls_back() -> None:
    told: list[float] = []
    tell = never_falling(lambda progress: told.append(progress.fraction))
    for fraction in (0.1, 0.5, 0.3, 0.6):
        tell(Progress("pruning", fraction))
    assert told == [0.1, 0.5, 0.5, 0.6]


@pytest.mark.parametrize(
    "spec",
    [
        {"sweep": {"criteria": ["l1_norm", "random"], "sizes": [0.6, 0.3]}, "baselines": {"num_seeds": 1}},
        {"max_metric_drop": 0.2, "search": {"max_trials": 3}},
    ],
)
def test_training_before_many_trials_is_no_large_share_of_the_run(spec: dict[str, Any]) -> None:
    seen: list[Progress] = []
    training = {"epochs": 2, "fine_tuning_epochs": 3}
    prune(residual(compiled=True), spec, blobs(64), training=training, on_progress=seen.append, is_timed=False)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    trained = max(progress.fraction for progress in seen if progress.phase == "training")
    most_epochs = 2 + 7 * (3 + 1)
    assert 2 / most_epochs <= trained <= 2 / (2 + 3 * (3 + 1))
