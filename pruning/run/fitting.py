"""A phase of training as a part of a run."""

from __future__ import annotations

import time

from pruning.graph.groups import ChannelGraph
from pruning.recovery.objective import Aims
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.training_state import TrainingSnapshot
from pruning.report import Step
from pruning.run.bench import Bench
from pruning.run.measuring import measured
from pruning.run.state import RunState
from pruning.run.telling import PHASES, tell
from pruning.selection.bounds import shrinking
from pruning.training.freezing import frozen


def trained(bench: Bench, state: RunState, graph: ChannelGraph, step: Step, phase: TrainingPhase) -> RunState:
    """Train the model at work for a phase and measure it; without epochs nothing is done.

    Args:
        bench: What to work with.
        state: Where the run is; within the phase, if an interrupted one goes on.
        graph: The model at work, trained in place.
        step: What the row of the report is called.
        phase: What to do.
    """
    setting, save = bench.setting, bench.save
    if setting.recovery is None or phase.num_epochs == 0:
        return state
    started = time.monotonic()

    def on_epoch(epoch: int, share: float, metrics: dict[str, float]) -> None:
        units = share * phase.num_epochs
        tell(setting, state, PHASES[step], units, epoch=epoch, num_epochs=phase.num_epochs, metrics=metrics)

    def on_checkpoint(snapshot: TrainingSnapshot) -> None:
        if save is not None:
            save(state.model_copy(update={"phase": snapshot.state}), snapshot)

    setting.recovery.aims = _aims(bench, state, step)
    with frozen(graph.model, setting.spec.freeze):
        done = setting.recovery.train(
            graph.model,
            phase,
            on_epoch,
            resumed=bench.interrupted(),
            on_checkpoint=None if save is None else on_checkpoint,
        )
    history = {**state.history, phase.name: done.history}
    state = state.model_copy(update={"phase": None, "history": history, "units": state.units + phase.num_epochs})
    return measured(setting, state, graph, step, started)


def _aims(bench: Bench, state: RunState, step: Step) -> Aims:
    """Return what a phase has at hand besides the data; a baseline from scratch has no teacher."""
    setting = bench.setting
    if step == "training":
        return Aims(sparse_groups=shrinking(setting.graph, setting.spec))
    has_teacher = setting.training.distillation is not None and state.trial.baseline != "from_scratch"
    return Aims(bench.models.teacher(state) if has_teacher else None, state.augmentation)
