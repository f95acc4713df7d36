"""A forecast is what the prune does, and costs no training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning import CriterionError, PruningSpec, SpecError, foresee, prune
from tests.pruning.models import blobs, residual


@pytest.mark.parametrize(
    "asked",
    [
        {"ratio": 0.25, "num_iterations": 2},
        {"target_params": 0.4, "num_iterations": 3, "schedule": "linear"},
        {"ratio": 0.25, "target_macs": 0.5, "max_metric_drop": 0.01},
    ],
)
def test_the_plan_is_that_of_the_prune(asked: dict[str, Any]) -> None:
    told = foresee(residual(), asked, is_timed=False)
    spec = PruningSpec.model_validate({**asked, "max_metric_drop": None})
    assert told.plan == prune(residual(), spec).plan
    assert told.latency is None
    assert any("max_metric_drop" in note for note in told.notes) == ("max_metric_drop" in asked)


def test_data_is_looked_at_and_not_trained_on() -> None:
    model = residual(compiled=True)
    before = [np.array(weight) for weight in model.get_weights()]
    phases: list[str] = []
    training = {"epochs": 5, "fine_tuning_epochs": 5, "post_training_epochs": 5}
    told = foresee(
        model,
        {"criterion": "taylor", "ratio": 0.5},
        blobs(),
        training=training,
        is_timed=False,
        on_progress=lambda progress: phases.append(progress.phase),
    )
    assert told.plan.num_channels_after == told.plan.num_channels_before // 2
    assert set(phases) <= {"loading", "pruning", "saving"}
    assert all(map(np.array_equal, before, model.get_weights()))


def test_both_models_are_timed_as_the_target_says() -> None:
    spec = {"target_latency": {"seconds": 60.0, "batch_size": 3}, "target_params": 0.5}
    timed = foresee(residual(), spec).latency
    assert timed is not None
    assert (timed.batch_size, timed.runtime) == (3, "keras")
    assert timed.seconds_beside is not None
    assert timed.spread_beside is not None
    assert min(timed.seconds, timed.seconds_beside) > 0 <= min(timed.spread, timed.spread_beside)


def test_of_a_sweep_each_plan_is_that_of_its_own_prune() -> None:
    sweep = {"criteria": ["l1_norm", "random"], "sizes": [0.5]}
    told = foresee(residual(), {"sweep": sweep, "max_metric_drop": 0.1, "baselines": {}}, is_timed=False)
    assert set(told.swept) == {"l1_norm-0.5", "random-0.5"}
    for name, plan in told.swept.items():
        criterion, size = name.rsplit("-", 1)
        own = prune(residual(), {"criterion": criterion, "target_macs": float(size)}, is_timed=False).plan
        assert plan.model_copy(update={"criterion": criterion}) == own
    assert told.plan.macs_after == min(plan.macs_after or 0 for plan in told.swept.values())


def test_where_a_search_ends_is_not_foreseen() -> None:
    with pytest.raises(SpecError, match="only training tells"):
        foresee(residual(), {"max_metric_drop": 0.01})


def test_a_sweep_over_criteria_that_look_at_data_needs_some() -> None:
    with pytest.raises(CriterionError, match="taylor looks at data"):
        foresee(residual(), {"ratio": 0.5, "sweep": {"criteria": ["l1_norm", "taylor"]}})
