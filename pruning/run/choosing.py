"""Which candidate is the best."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pruning.errors import SpecError
from pruning.report import Candidate, Compared, StepReport
from pruning.run.setting import Setting
from pruning.run.state import Kept, RunState
from pruning.run.stopping import unmet
from pruning.run.trial import Trial
from pruning.selection.drop import Drop, WatchedMetric
from pruning.spec import BaselineMethod


def quality(setting: Setting, state: RunState) -> WatchedMetric | None:
    """Return the metric that models are compared by; `None` where nothing is measured."""
    measured = state.rows[0].metrics
    if not measured:
        return None
    try:
        return WatchedMetric(setting.spec, measured)
    except SpecError:
        if setting.spec.max_metric_drop is not None:
            raise
        return WatchedMetric(setting.spec.model_copy(update={"metric": "loss"}), measured)


def drop_of(setting: Setting, state: RunState, row: StepReport) -> Drop | None:
    """Return how much worse a model is than the one before the first prune."""
    metric = quality(setting, state)
    return None if metric is None else metric.drop(state.reference, row.metrics)


def is_within_drop(setting: Setting, drop: float | None) -> bool:
    """Tell whether the spec allows a drop."""
    most = setting.spec.max_metric_drop
    return most is None or (drop is not None and drop <= most)


def meets_targets(setting: Setting, row: StepReport) -> bool:
    """Tell whether a model is within the targets of the spec as it was given, not of the trial that made it."""
    return not setting.spec.targets or not unmet(setting.asked(Trial()), row)


def best(setting: Setting, kept: Sequence[Kept]) -> Kept | None:
    """Return the candidate to deliver: of those that meet all limits the best, else the nearest.

    The best is the most accurate where a target says how small, else the smallest. The nearest is the smallest
    whose metric is within what is allowed, or the one whose metric falls least.
    """
    offered = _latest(kept)
    fine = [each for each in offered if each.candidate.meets_limits]
    within = [each for each in offered if is_within_drop(setting, each.candidate.drop)]
    if fine:
        return min(fine, key=_by_drop if setting.spec.targets else _by_size)
    if within:
        return min(within, key=_by_size)
    return min(offered, key=_by_drop, default=None)


def front(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the names of the candidates that no other beats in size and metric at once, the smallest first."""
    best_drop, names = float("inf"), []
    for each in sorted(
        (each for each in candidates if each.baseline is None), key=lambda each: (*_size(each), _drop(each))
    ):
        if _drop(each) < best_drop:
            best_drop = _drop(each)
            names.append(each.name)
    return tuple(names)


def compared(setting: Setting, state: RunState) -> tuple[Compared, ...]:
    """Return what the baselines came to, over their seeds."""
    metric, values = quality(setting, state), defaultdict[BaselineMethod, list[float]](list)
    if metric is None:
        return ()
    for kept in state.kept:
        if kept.candidate.baseline is not None:
            values[kept.candidate.baseline].append(kept.candidate.metrics[metric.name])
    return tuple(
        Compared(
            method=method,
            metric=metric.name,
            mean=float(np.mean(each)),
            std=float(np.std(each, ddof=1)) if len(each) > 1 else 0.0,
            values=tuple(each),
        )
        for method, each in values.items()
    )


def _latest(kept: Sequence[Kept]) -> list[Kept]:
    """Leave out what was post-trained since, unless it met the limits and no longer does."""
    replaced = {
        each.candidate.came_from: each.candidate.meets_limits for each in kept if each.candidate.came_from is not None
    }
    return [
        each
        for each in kept
        if each.candidate.name not in replaced or (each.candidate.meets_limits and not replaced[each.candidate.name])
    ]


def _by_drop(kept: Kept) -> tuple[float, ...]:
    return _drop(kept.candidate), *_size(kept.candidate)


def _by_size(kept: Kept) -> tuple[float, ...]:
    return *_size(kept.candidate), _drop(kept.candidate)


def _drop(candidate: Candidate) -> float:
    drop = 0.0 if candidate.drop is None else candidate.drop
    return math.inf if math.isnan(drop) else drop


def _size(candidate: Candidate) -> tuple[float, float]:
    return candidate.params if candidate.macs is None else candidate.macs, candidate.params
