"""Why a trial ends and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from pruning.plan import GroupPlan
from pruning.run.keeping import verdict
from pruning.run.setting import Setting
from pruning.run.state import Kept, RunState
from pruning.run.stopping import missed, nothing_goes, reached, unmet
from pruning.run.trial import Trial
from tests.pruning.run.states import PLAN, kept, row, setting, state

OWN = Trial()


def at(asked: Setting, left: float, **changes: Any) -> RunState:
    """Return a state whose last model is a share of the whole, in parameters and multiply-accumulates."""
    baseline = asked.asked(OWN).baseline
    params, macs = (round(baseline.amounts.get(f"target_{name}", 1000) * left) for name in ("params", "macs"))
    return state(rows=(row("initial", 0.9), row("fine-tuning", 0.8, params=params, macs=macs)), **changes)


def test_a_trial_goes_on_until_all_targets_are_reached() -> None:
    asked = setting({"target_params": 0.5, "target_macs": 0.4})
    own = asked.asked(OWN)
    assert set(unmet(own, at(asked, 0.6).rows[-1])) == {"target_params", "target_macs"}
    assert set(unmet(own, at(asked, 0.45).rows[-1])) == {"target_macs"}
    assert reached(own, at(asked, 0.45)) is None
    assert reached(own, at(asked, 0.39)) == "target_params 0.5 and target_macs 0.4 are reached"


def test_what_a_trial_missed_is_told() -> None:
    asked = setting({"target_macs": 0.4})
    own, row = asked.asked(OWN), at(asked, 0.5).rows[-1]
    assert missed(own, row, "all 2 iterations are complete") == (
        "all 2 iterations are complete; target_macs 0.4 missed: 0.5000 left"
    )
    assert missed(own, at(asked, 0.3).rows[-1], "because") == "because"


@pytest.mark.parametrize(("left", "told"), [(0.3, "already meets target_macs 0.4"), (0.6, "0.6000 left")])
def test_a_prune_that_takes_nothing_says_why(left: float, told: str) -> None:
    asked = setting({"target_macs": 0.4})
    assert told in nothing_goes(asked.asked(OWN), at(asked, left))


def test_a_share_of_channels_ends_a_trial_when_one_more_would_pass_it() -> None:
    asked = setting({"ratio": 0.1, "max_filters_removed": 0.25})
    own = asked.asked(OWN)
    num_channels = own.baseline.num_channels
    for removed in range(num_channels):
        group = GroupPlan(
            name="all", layers=("all",), num_channels=num_channels, keep=tuple(range(num_channels - removed))
        )
        is_over = reached(own, at(asked, 0.9, plan=PLAN.model_copy(update={"groups": (group,)}))) is not None
        assert is_over is ((removed + 1) / num_channels > 0.25)


def judged(spec: dict[str, Any], chosen: Kept, *others: Kept, **changes: Any) -> str:
    asked = setting(spec)
    last = row("restoring", 0.8, params=chosen.candidate.params, macs=chosen.candidate.macs)
    reached = state(chosen, *others, **({"trials": (OWN,), "because": "it is done"} | changes))
    return verdict(asked, reached.model_copy(update={"rows": (*reached.rows, last)}), chosen)


def test_the_last_candidate_ends_the_run_for_the_reason_that_ended_the_trial() -> None:
    assert judged({"ratio": 0.1}, kept("iteration-1", 0.5, 0.0)) == "it is done"


def test_an_earlier_candidate_is_told_with_the_drop_of_the_last() -> None:
    worse = kept("iteration-2", 0.3, 0.3, is_good=False, iteration=2).model_copy(update={"drop": "it fell"})
    told = judged({"ratio": 0.1, "max_metric_drop": 0.05}, kept("iteration-1", 0.5, 0.01), worse)
    assert told == "max_metric_drop 0.05: it fell in iteration 2; the model of iteration 1 is delivered"


def test_the_nearest_candidate_is_told_with_what_it_missed() -> None:
    nearest = kept("iteration-1", 0.5, 0.3, is_good=False).model_copy(update={"drop": "it fell"})
    told = judged({"ratio": 0.1, "max_metric_drop": 0.05}, nearest, because="it fell; and more")
    assert told == "it fell; max_metric_drop 0.05 missed: it fell"


def test_of_several_trials_the_one_that_is_delivered_is_named_and_baselines_do_not_count() -> None:
    trials = (Trial(name="a"), Trial(name="b"), Trial(name="c", baseline="random"))
    told = judged({"sweep": {"sizes": [0.5, 0.6]}}, kept("a-iteration-1", 0.5, 0.0, trial="a"), trials=trials)
    assert told == "2 trials completed; a-iteration-1 is delivered"
