"""Why a trial ends, in the words of its spec."""

from __future__ import annotations

from pruning.report import StepReport
from pruning.run.setting import Asked
from pruning.run.state import RunState
from pruning.selection.planning import shown

MEASURED_TOLERANCE = {"target_file_bytes": 0.01, "target_latency": 0.05}
"""How far what is measured may lie above a target: by the share of what else is in a file, and by noise."""


def reached(asked: Asked, state: RunState) -> str | None:
    """Return which limit ends the trial after its last prune, if one does."""
    if asked.spec.targets and not unmet(asked, state.rows[-1]):
        return f"{_targets(asked)} {'is' if len(asked.spec.targets) == 1 else 'are'} reached"
    most, channels = asked.spec.max_filters_removed, asked.baseline.num_channels
    if most is not None and channels - state.plan.num_channels_after + 1 > most * channels:
        return missed(asked, state.rows[-1], f"max_filters_removed {shown(most)} is reached")
    return None


def nothing_goes(asked: Asked, state: RunState) -> str:
    """Return why a prune that may go all the way takes nothing."""
    if asked.spec.targets and not unmet(asked, state.rows[-1]):
        return f"the model already meets {_targets(asked)}"
    return missed(asked, state.rows[-1], "the ratio and the limits allow no more channels to be removed")


def missed(asked: Asked, row: StepReport, because: str) -> str:
    """Add to a reason for stopping which targets were not reached."""
    left = [
        f"{name} {shown(asked.spec.targets[name])} missed: {amount / asked.baseline.amounts[name]:.4f} left"
        for name, amount in unmet(asked, row).items()
    ]
    return "; ".join([because, *left])


def unmet(asked: Asked, row: StepReport) -> dict[str, float]:
    """Return field of each target that a model does not meet → what is left of it."""
    left = {
        "target_params": row.params,
        "target_macs": row.macs or 0,
        "target_file_bytes": row.file_bytes,
        "target_latency": row.target_latency_seconds or 0.0,
    }
    return {
        name: left[name]
        for name, goal in asked.iterations.goals.items()
        if left[name] > goal * (1 + MEASURED_TOLERANCE.get(name, 0.0))
    }


def _targets(asked: Asked) -> str:
    return " and ".join(f"{name} {shown(target)}" for name, target in asked.spec.targets.items())
