"""The steps of a run: from one state and model to the next."""

from __future__ import annotations

import time
from collections.abc import Callable

from pruning.errors import InfeasibleError
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.optimizer_state import has_state
from pruning.plan import compose
from pruning.proof.verification import prove
from pruning.recovery.phase import TrainingPhase
from pruning.run.bench import Bench
from pruning.run.choosing import best, is_within_drop, meets_targets, quality
from pruning.run.fitting import trained
from pruning.run.keeping import keep, restored, verdict
from pruning.run.measuring import measured
from pruning.run.setting import Asked
from pruning.run.state import RunState, Stage
from pruning.run.stopping import missed, nothing_goes, reached
from pruning.run.telling import SCORING_UNITS, tell
from pruning.run.trial import BASE, Trial
from pruning.run.trials import next_trial
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import needs_samples
from pruning.selection.drop import WatchedMetric, far_apart
from pruning.selection.iterations import MAX_ITERATIONS
from pruning.selection.planning import plan_prune
from pruning.surgery.cutting import kept_channels, prune_channels

Move = Callable[[Bench, RunState, ChannelGraph], tuple[RunState, ChannelGraph]]


def measure(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Measure the model as it came."""
    state = measured(bench.setting, state, graph, "initial", time.monotonic())
    if bench.setting.spec.max_metric_drop is not None:
        WatchedMetric(bench.setting.spec, state.rows[0].metrics)  # Refuses one that nobody can watch.
    has_epochs = bench.setting.recovery is not None and bench.setting.training.epochs > 0
    return state.to("training" if has_epochs else "choosing"), graph


def train(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Train before the first prune."""
    phase = TrainingPhase("training", bench.setting.training.epochs, 1000 * len(state.rows))
    return trained(bench, state, graph, "training", phase).to("choosing"), graph


def choose(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Begin the next trial, or end the run."""
    if not state.trials:
        bench.models.put(BASE, graph)
        state = _augmented(bench, state, graph)
    trial = next_trial(bench.setting, state)
    if trial is None:
        return state.to("delivering"), graph
    if trial.start != (state.at_work or BASE):
        graph = bench.models.get(trial.start, state)
    start = None if trial.start == BASE else state.named(trial.start)
    state = state.to(
        "pruning",
        trials=(*state.trials, trial),
        attempts=0,
        iteration=None,
        plan=bench.models.whole(trial.spec(bench.setting.spec)) if start is None else start.plan,
        wanted=bench.setting.widths if start is None else start.wanted,
        at_work=trial.start,
    )
    if trial.baseline == "from_scratch":
        chosen = best(bench.setting, state.offered)
        assert chosen is not None
        graph = bench.models.from_scratch(chosen.plan, bench.setting.training.seed + trial.seed)
        return state.to("fine-tuning", plan=chosen.plan, iteration=1, at_work=None), graph
    try:
        bench.setting.asked(trial)
    except InfeasibleError as error:
        if not trial.name:
            raise
        return state.noted(f"{trial.name}: {error.detail}").to("choosing"), graph
    return state, graph


def prune(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Plan one prune and, if something goes, cut, prove and repair the model."""
    setting, asked = bench.setting, bench.setting.asked(state.trial)
    iterations = asked.iterations
    extent = iterations.extent(state.attempts, state.plan.num_channels_after, state.wanted)
    calibration = _calibration(bench, state, graph)
    selection = plan_prune(graph, asked.spec, extent, calibration, sensitivities=setting.sensitivities)
    plan, before = selection.plan, state.wanted
    state = state.to("pruning", attempts=state.attempts + 1, wanted=dict(selection.wanted))
    if plan.num_channels_after == plan.num_channels_before:
        is_final = extent.scale > 0 and extent.at_most == iterations.goals
        if is_final and selection.wanted == before:
            return state.to("closing", because=nothing_goes(asked, state)), graph
        return _next_attempt(asked, state), graph
    started = time.monotonic()
    state = state.to("fine-tuning", iteration=state.attempts, at_work=None)
    tell(setting, state, "pruning", SCORING_UNITS if needs_samples(asked.spec) else 0.0)
    stays = graph.stays(kept_channels(graph, plan))
    small = prune_channels(graph, stays)
    state = state.noted(*_lost_state(graph, small))
    proof = prove(graph, stays, small.model)
    proof.require()
    repair = None
    if setting.repairing is not None:
        tell(setting, state, "pruning", SCORING_UNITS, message="reconstructing")
        repair = setting.repairing.repair(graph, small, stays, asked.spec)
    state = state.to("fine-tuning", plan=compose(state.plan, plan), units=state.units + 1)
    state = measured(setting, state, small, "pruning", started, proof=proof, layers=plan.layers, repair=repair)
    return state, small


def fine_tune(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Win back what the prune cost; what comes of it is a candidate."""
    setting, asked, trial = bench.setting, bench.setting.asked(state.trial), state.trial
    name = _history_name(trial, f"fine-tuning {state.iteration}")
    budget = setting.budget(trial)
    phase = budget.fine_tuning(name, state.iteration or 1, _phase_seed(state), quality(setting, state))
    if trial.baseline == "from_scratch":
        phase = TrainingPhase(name, setting.training.epochs + budget.num_epochs, _phase_seed(state))
    state = trained(bench, state, graph, "fine-tuning", phase)
    state = keep(bench, state, graph, trial.candidate(state.iteration))
    if trial.baseline == "from_scratch":
        return state.to("choosing"), graph
    because = reached(asked, state)
    if because is not None:
        return state.to("closing", because=because), graph
    last = state.kept[-1]
    if asked.iterations.count is None and not is_within_drop(setting, last.candidate.drop):
        # A fixed number of iterations goes on: what one costs the next may win back.
        return state.to("closing", because=missed(asked, state.rows[-1], last.drop)), graph
    return _next_attempt(asked, state), graph


def close(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """End the iterations of a trial; what is post-trained is its best candidate."""
    chosen = best(bench.setting, state.kept_in(state.trial.name))
    if chosen is None or not bench.setting.budget(state.trial).post_training_epochs:
        return state.to("choosing"), graph
    if chosen.candidate.name != state.at_work:
        state, graph = restored(bench, state, chosen)
    return state.to("post-training"), graph


def post_train(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Train the best candidate of a trial for longer; what comes of it is a candidate too."""
    trial, came_from = state.trial, state.at_work
    phase = bench.setting.budget(trial).post_training(
        _history_name(trial, "post-training"), _phase_seed(state), quality(bench.setting, state)
    )
    state = trained(bench, state, graph, "post-training", phase)
    state = keep(bench, state, graph, trial.candidate(None, is_post_trained=True), came_from)
    return state.to("choosing"), graph


def deliver(bench: Bench, state: RunState, graph: ChannelGraph) -> tuple[RunState, ChannelGraph]:
    """Go back to the best candidate if it is not at work, and compile it for delivery."""
    setting, chosen = bench.setting, best(bench.setting, state.offered)
    if chosen is None:
        if state.at_work != BASE:
            graph = bench.models.get(BASE, state)
        state = state.to("done", goal_met=meets_targets(setting, state.rows[-1]))
    else:
        if chosen.candidate.name != state.at_work:
            state, graph = restored(bench, state, chosen)
        state = state.to("done", goal_met=chosen.candidate.meets_limits, because=verdict(setting, state, chosen))
    return state.noted(*filter(None, [far_apart(setting.spec, state.reference, state.rows[-1].metrics)])), graph


STEPS: dict[Stage, Move] = {
    "measuring": measure,
    "training": train,
    "choosing": choose,
    "pruning": prune,
    "fine-tuning": fine_tune,
    "closing": close,
    "post-training": post_train,
    "delivering": deliver,
}
"""Stage → the step that it stands for."""


def _augmented(bench: Bench, state: RunState, graph: ChannelGraph) -> RunState:
    """Choose what images are changed by in training from now on, where that is left to the run."""
    training, metric = bench.setting.training, quality(bench.setting, state)
    has_epochs = training.fine_tuning_epochs != 0 or training.post_training_epochs != 0
    if bench.setting.recovery is None or metric is None or training.augmentation != "auto" or not has_epochs:
        return state
    chosen = bench.setting.recovery.harmless(graph.model, metric)
    told = ", ".join(f"{name} {getattr(chosen, name)}" for name in sorted(chosen.model_fields_set))
    state = state.model_copy(update={"augmentation": chosen})
    return (
        state.noted(f"training images are augmented with changes that do not hurt the original: {told}")
        if told
        else state
    )


def _next_attempt(asked: Asked, state: RunState) -> RunState:
    count = asked.iterations.count or MAX_ITERATIONS
    if state.attempts < count:
        return state.to("pruning")
    return state.to("closing", because=missed(asked, state.rows[-1], f"all {count} iterations are complete"))


def _history_name(trial: Trial, phase: str) -> str:
    return f"{trial.name}: {phase}" if trial.name else phase


def _phase_seed(state: RunState) -> int:
    """Return what sets the phases of one run apart, and the same phase of trials with other seeds."""
    return 1000 * len(state.rows) + 1_000_000 * state.trial.seed


def _lost_state(before: ChannelGraph, after: ChannelGraph) -> list[str]:
    """Return a note if the optimizer did not survive the prune."""
    own = before.model.optimizer if before.model.compiled else None
    if not has_state(own) or after.model.optimizer.built:
        return []
    return [f"the state of {type(own).__name__} is reset after each prune, because it cannot be pruned"]


def _calibration(bench: Bench, state: RunState, graph: ChannelGraph) -> Calibration | None:
    """Return training samples for a criterion or a scope that looks at data."""
    setting, spec, told = bench.setting, bench.setting.asked(state.trial).spec, [0.0]
    if setting.data is None or not needs_samples(spec):
        return None

    def on_share(share: float) -> None:
        if time.monotonic() - told[0] >= 1:
            told[0] = time.monotonic()
            tell(setting, state, "pruning", SCORING_UNITS * share, message="scoring channels")

    return Calibration.of(
        graph.model,
        setting.data,
        num_samples=spec.calibration_samples,
        seed=spec.seed,
        compiling=setting.compiling,
        on_share=on_share,
    )
