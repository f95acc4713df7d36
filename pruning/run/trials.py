"""Which trial comes next: the spec's own, those of a sweep, those of a search, then baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pruning.report import Candidate
from pruning.run.choosing import best
from pruning.run.setting import Setting
from pruning.run.state import RunState
from pruning.run.trial import BASE, Trial
from pruning.spec import Search

_SMALLEST = 0.02
"""A search for the smallest model goes no further down."""


def next_trial(setting: Setting, state: RunState) -> Trial | None:
    """Return what to try next, or `None` when everything was tried."""
    done = {trial.name for trial in state.trials}
    search = setting.spec.smallest
    if search is not None and not any(trial.baseline for trial in state.trials):
        found = _bisected(setting, search, state)
        if found is not None:
            return found
    planned = _planned(setting) if search is None else []
    return next((trial for trial in [*planned, *_baselines(setting, state)] if trial.name not in done), None)


def num_trials_expected(setting: Setting) -> int:
    """Return how many trials there will be, at most."""
    spec = setting.spec
    own = len(_planned(setting)) if spec.smallest is None else spec.smallest.max_trials
    return own + (0 if spec.baselines is None else len(spec.baselines.methods) * spec.baselines.num_seeds)


def _planned(setting: Setting) -> Sequence[Trial]:
    sweep = setting.spec.sweep
    if sweep is None:
        return [Trial()]
    criteria: list[int | None] = list(range(len(sweep.criteria))) or [None]
    sizes: list[float | None] = list(sweep.sizes) or [None]
    names = sweep.criterion_names
    return [
        Trial(
            name="-".join([*([] if number is None else [names[number]]), *([] if size is None else [f"{size:g}"])]),
            criterion=number,
            target=None if size is None else (setting.size_field, size),
        )
        for number in criteria
        for size in sizes
    ]


def _bisected(setting: Setting, search: Search, state: RunState) -> Trial | None:
    """Return the next size of a search for the smallest model within the drop that is allowed.

    Sizes halve until one fails; then the next lies between the smallest that is good and the largest that is not,
    in the middle by their ratio. Each goes on from the smallest good candidate that is larger.
    """
    sizes = {trial.name: trial.target[1] for trial in state.trials if trial.target is not None}
    good = [kept for kept in state.kept if kept.candidate.meets_limits]
    # What a trial has passed through may be good where its end is not.
    highest = min((_left(setting, state, kept.candidate) for kept in good), default=1.0)
    failed = [size for size in sizes.values() if size < highest]
    lowest = max(failed, default=0.0)
    spent = sum(len(next(iter(phase.values()), [])) for name, phase in state.history.items() if name != "training")
    is_spent = (
        len(sizes) >= search.max_trials
        or (search.max_epochs is not None and spent >= search.max_epochs)
        or (search.max_minutes is not None and sum(row.seconds for row in state.rows) >= 60 * search.max_minutes)
    )
    size = round(math.sqrt(lowest * highest) if lowest else highest / 2, 4)
    is_fine_enough = size in sizes.values() or (lowest > 0 and highest / lowest < 1 + search.resolution)
    if is_spent or is_fine_enough or size < _SMALLEST:
        return None
    start = best(setting, good)
    return Trial(
        name=f"size-{size:g}",
        target=(setting.size_field, size),
        start=BASE if start is None else start.candidate.name,
    )


def _baselines(setting: Setting, state: RunState) -> Sequence[Trial]:
    asked, chosen = setting.spec.baselines, best(setting, state.offered)
    if asked is None or chosen is None:
        return []
    left = _left(setting, state, chosen.candidate)
    return [
        Trial(
            name=f"baseline-{method}-{seed}",
            baseline=method,
            target=(setting.size_field, min(left, 0.9999)),
            seed=seed,
        )
        for method in asked.methods
        for seed in range(asked.num_seeds)
    ]


def _left(setting: Setting, state: RunState, candidate: Candidate) -> float:
    """Return the share of the model as it came that a candidate is, by what sizes are given by."""
    before = state.rows[0]
    if setting.size_field == "target_macs" and before.macs and candidate.macs:
        return candidate.macs / before.macs
    return candidate.params / before.params
