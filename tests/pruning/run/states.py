"""States of runs that never took place."""

from __future__ import annotations

from typing import Any

from pruning.plan import GroupPlan, PruningPlan
from pruning.report import Candidate, Step, StepReport
from pruning.run.setting import Setting
from pruning.run.state import Kept, RunState
from pruning.spec import PruningSpec, TrainingSpec
from tests.pruning.run.runs import network

FULL_MACS, FULL_PARAMS = 1_000_000, 10_000
PLAN = PruningPlan(
    fingerprint="0",
    criterion="l1_norm",
    groups=(GroupPlan(name="first", layers=("first",), num_channels=8, keep=(0, 2)),),
    layers=(),
    params_before=FULL_PARAMS,
    params_after=FULL_PARAMS,
)


def setting(spec: dict[str, Any], training: dict[str, Any] | None = None) -> Setting:
    """Return what a run without data goes by."""
    return Setting.of(
        network(),
        PruningSpec.model_validate(spec).resolved(has_data=False, has_targets=False),
        TrainingSpec.model_validate(training or {}),
        None,
        lambda told: None,
    )


def row(step: Step, accuracy: float | None = None, *, size: float = 1.0, **changes: Any) -> StepReport:
    """Return what was measured of a model of a size, a share of the whole."""
    figures = {
        "params": round(FULL_PARAMS * size),
        "macs": round(FULL_MACS * size),
        "file_bytes": round(FULL_PARAMS * size),
        "metrics": {} if accuracy is None else {"val_loss": 2 - accuracy, "val_accuracy": accuracy},
        "seconds": 1.0,
    }
    return StepReport(step=step, **(figures | changes))


def kept(name: str, size: float, drop: float | None, *, is_good: bool = True, **changes: Any) -> Kept:
    """Return a candidate of a size, whose metric fell so far from 0.9."""
    accuracy = None if drop is None else 0.9 - drop
    figures = row("fine-tuning", accuracy, size=size)
    candidate = {
        "name": name,
        "criterion": "l1_norm",
        "iteration": 1,
        "params": figures.params,
        "macs": figures.macs,
        "file_bytes": figures.file_bytes,
        "metrics": figures.metrics,
        "drop": drop,
        "meets_limits": is_good,
    }
    return Kept(candidate=Candidate(**(candidate | changes)), plan=PLAN, wanted={"first": 2})


def state(*candidates: Kept, accuracy: float | None = 0.9, **changes: Any) -> RunState:
    """Return the state of a run with these candidates."""
    begun = RunState(plan=PLAN, wanted={"first": 8}, rows=(row("initial", accuracy),), kept=candidates)
    return begun.model_copy(update=changes)
