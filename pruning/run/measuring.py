"""Rows of the report: the model at work after a step."""

from __future__ import annotations

import time

import keras

from pruning.graph.groups import ChannelGraph
from pruning.measure import file_size_bytes
from pruning.plan import LayerPlan
from pruning.proof.verification import Proof
from pruning.report import Repair, Step, StepReport
from pruning.run.setting import Setting
from pruning.run.state import RunState
from pruning.run.telling import PHASES, tell


def measured(
    setting: Setting,
    state: RunState,
    graph: ChannelGraph,
    step: Step,
    started: float,
    *,
    proof: Proof | None = None,
    layers: tuple[LayerPlan, ...] = (),
    repair: Repair | None = None,
) -> RunState:
    """Return the state with one more row: params, MACs, bytes, metrics.

    Args:
        setting: The run's.
        state: Where it is after the step.
        graph: The model at work.
        step: What was done.
        started: When, by `time.monotonic`.
        proof: Of a prune.
        layers: Of a prune: what it did to each layer.
        repair: Of a prune: what was done before any training.
    """
    model, plan = graph.model, state.plan
    metrics = {} if setting.recovery is None else setting.recovery.evaluate(model)
    stopwatch = setting.stopwatch
    row = StepReport(
        step=step,
        trial=state.trial.name if state.trials else "",
        iteration=state.iteration if step in ("pruning", "fine-tuning", "restoring") else None,
        params=plan.params_after,
        macs=plan.macs_after,
        file_bytes=_file_bytes(setting, model),
        target_latency_seconds=None if stopwatch is None else stopwatch.measure(model).seconds,
        metrics=metrics,
        seconds=time.monotonic() - started,
        max_relative_difference=None if proof is None else proof.max_relative_difference,
        repair=repair,
        layers=layers,
    )
    state = state.model_copy(update={"rows": (*state.rows, row)})
    figures = {**metrics, "params": float(row.params)} | ({} if row.macs is None else {"macs": float(row.macs)})
    tell(setting, state, PHASES[step], metrics=figures, message=f"{step} measured")
    return state


def _file_bytes(setting: Setting, model: keras.Model) -> int:
    """Return the size of the file that the model would be delivered in."""
    if setting.compiling is None:
        return file_size_bytes(model)
    with setting.compiling.as_delivered(model):
        return file_size_bytes(model)
