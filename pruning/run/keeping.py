"""Candidates: models that a run could deliver."""

from __future__ import annotations

import time

from pruning.graph.groups import ChannelGraph
from pruning.report import Candidate
from pruning.run.bench import Bench
from pruning.run.choosing import drop_of, is_within_drop, meets_targets
from pruning.run.measuring import measured
from pruning.run.setting import Setting
from pruning.run.state import Kept, RunState
from pruning.run.stopping import missed
from pruning.run.trial import Trial


def keep(bench: Bench, state: RunState, graph: ChannelGraph, name: str, came_from: str | None = None) -> RunState:
    """Keep the model at work, as its last row describes it, as a candidate.

    Args:
        bench: What to work with.
        state: Where the run is.
        graph: The model at work.
        name: Of the candidate.
        came_from: The candidate that it was post-trained from.
    """
    setting, row, trial = bench.setting, state.rows[-1], state.trial
    drop = drop_of(setting, state, row)
    is_within = is_within_drop(setting, None if drop is None else drop.value)
    candidate = Candidate(
        name=name,
        trial=trial.name,
        criterion=state.plan.criterion,
        iteration=state.iteration or 0,
        came_from=came_from,
        baseline=trial.baseline,
        params=row.params,
        macs=row.macs,
        file_bytes=row.file_bytes,
        metrics=row.metrics,
        drop=None if drop is None else drop.value,
        meets_limits=is_within and meets_targets(setting, row),
    )
    bench.models.put(name, graph)
    kept = Kept(candidate=candidate, plan=state.plan, wanted=state.wanted, drop="" if is_within else str(drop))
    return state.model_copy(update={"kept": (*state.kept, kept), "at_work": name})


def restored(bench: Bench, state: RunState, kept: Kept) -> tuple[RunState, ChannelGraph]:
    """Go back to a candidate, and measure it."""
    started, name = time.monotonic(), kept.candidate.name
    graph = bench.models.get(name, state)
    trials = tuple(trial for trial in state.trials if trial.name != kept.candidate.trial)
    own = next(trial for trial in state.trials if trial.name == kept.candidate.trial)
    state = state.model_copy(
        update={
            "trials": (*trials, own),
            "plan": kept.plan,
            "wanted": kept.wanted,
            "iteration": kept.candidate.iteration,
            "at_work": name,
        }
    )
    return measured(bench.setting, state, graph, "restoring", started), graph


def verdict(setting: Setting, state: RunState, chosen: Kept) -> str:
    """Return why the run ended with this candidate."""
    limit, because = f"max_metric_drop {setting.spec.max_metric_drop:g}" if setting.spec.max_metric_drop else "", ""
    own = state.kept_in(chosen.candidate.trial)
    last = own[-1]
    num_trials = sum(trial.baseline is None for trial in state.trials)
    if num_trials > 1:
        because = f"{num_trials} trials completed; {chosen.candidate.name} is delivered"
    elif last.drop and last is not chosen:
        because = (
            f"{limit}: {last.drop} in iteration {last.candidate.iteration}; the model of iteration "
            f"{chosen.candidate.iteration} is delivered"
        )
    else:
        because = state.because.partition("; ")[0]
    if chosen.drop:
        because = f"{because}; {limit} missed: {chosen.drop}"
    return because if not setting.spec.extent_is_given else missed(setting.asked(Trial()), state.rows[-1], because)
