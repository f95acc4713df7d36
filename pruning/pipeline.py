"""The whole story on one page: train → (prune → fine-tune)* → post-train, for each trial; the best is delivered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from pruning.datasets.data import Data
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.functional_class import has_own_config
from pruning.plan import PruningPlan
from pruning.progress import OnProgress, never_falling
from pruning.recovery.objective import check_objective
from pruning.recovery.snapshot import Snapshot
from pruning.report import PruningReport
from pruning.run.bench import Bench
from pruning.run.checkpoints import Checkpoints
from pruning.run.choosing import compared, front
from pruning.run.models import Models
from pruning.run.setting import Setting
from pruning.run.shelf import Shelf
from pruning.run.state import RunState
from pruning.run.steps import STEPS
from pruning.run.telling import tell
from pruning.run.testing import tested
from pruning.run.versions import versions
from pruning.scoring.importance import require_data, require_samples
from pruning.spec import PruningSpec, TrainingSpec, checked, with_fields
from pruning.subclassed import as_functional
from pruning.timing import with_latency
from pruning.training.fixed_batches import in_fixed_batches
from pruning.training.unneeded_targets import with_unneeded_targets

History = dict[str, list[float]]


@dataclass(frozen=True)
class PruningResult:
    """What a prune gives.

    Attributes:
        model: The smaller model, proven right after each prune, compiled as the original was.
        plan: Which channels of the original stay, over all iterations.
        report: Every step measured, every layer before and after.
        history: Training history of each phase, such as `"fine-tuning 2"`: one value an epoch.
    """

    model: keras.Model
    plan: PruningPlan
    report: PruningReport
    history: dict[str, History]
    _candidate: Callable[[str], tuple[keras.Model, PruningPlan]] = field(repr=False)

    @property
    def goal_met(self) -> bool:
        """Whether the model is within all targets and `max_metric_drop`; else it is the nearest that was found."""
        return self.report.goal_met

    def candidate(self, name: str) -> tuple[keras.Model, PruningPlan]:
        """Return one of `report.candidates`: its model, compiled as the original was, and what stays in it.

        Raises:
            KeyError: There is no candidate of that name.
        """
        return self._candidate(name)


def prune(
    model: keras.Model,
    spec: PruningSpec | Mapping[str, Any] | None = None,
    data: Any = None,
    *,
    training: TrainingSpec | Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    notes: tuple[str, ...] = (),
    checkpoint_directory: str | Path | None = None,
    is_timed: bool = True,
    **pruning_options: Any,
) -> PruningResult:
    """Make a smaller model: train if asked, prune and fine-tune in turns, post-train.

    Every iteration with its fine-tuning gives a candidate, and so does post-training. Delivered is the best one within
    all targets and `max_metric_drop`: the most accurate where a target says how small, else the smallest. If none is
    within them, the nearest is delivered and `result.goal_met` is false.

    Sets Keras's global random seed to `training.seed`.

    Args:
        model: A functional or Sequential model, or a subclassed one that `as_functional` can write down; not changed.
        spec: What to remove and when to stop, as a spec or a dict of its fields.
        data: What `Data.of` takes; `None` prunes without training or metrics.
        training: How to train, likewise; ignored without data.
        on_progress: Called with a `Progress` at least once a step and epoch.
        notes: Lines for the report about what was done to the model before.
        checkpoint_directory: Where to write the state of the run after every epoch and every step. If the directory
            holds a run of the same model, specs and data that was interrupted, it goes on from there and ends, on the
            same machine, with the same model as if it had not been.
        is_timed: Whether the report tells how long one call of the original and of the delivered model takes.
        pruning_options: Fields of `PruningSpec`, such as `ratio=0.25`; they go before those of `spec`.

    Returns:
        The result; its model has passed `verify` at each prune.

    Raises:
        ModelError: The model has no graph that can be traced.
        NothingToPruneError: No channel can be removed.
        SpecError: A spec is not valid, a pattern matches no layer, or Keras does not know a name.
        InfeasibleError: A target cannot be reached.
        DataError: The data does not fit the model.
        TrainingError: Training diverged.
        CriterionError: The criterion returned something unusable.
        VerificationError: A pruned model was not proven right.
        CheckpointError: The directory holds another run, or one that cannot be read.
    """
    spec = checked(PruningSpec, with_fields(spec, pruning_options), "pruning")
    training = checked(TrainingSpec, training or {}, "training")
    functional = as_functional(model)
    arrays = None if data is None else with_unneeded_targets(Data.of(data), functional, training)
    spec = spec.resolved(has_data=arrays is not None, has_targets=arrays is not None and arrays.is_labelled)
    require_samples(spec, arrays is not None)
    for criterion in spec.criteria:
        require_data(criterion, arrays is not None)
    if functional is not model:
        notes = (*notes, "the subclassed model is delivered as a functional model of the same layers")
    training, kept_to = in_fixed_batches(functional, training)
    notes = (*notes, *(kept_to if data is not None else ()))
    if has_own_config(functional):
        notes = (*notes, f"the model of class {type(functional).__name__} is delivered as a plain functional model")
    check_objective(functional, training, has_data=data is not None)
    on_progress = never_falling(on_progress or (lambda progress: None))
    setting = Setting.of(functional, spec, training, arrays, on_progress)
    checkpoints = None if checkpoint_directory is None else Checkpoints(Path(checkpoint_directory), setting)
    models = Models(setting, Shelf(None if checkpoints is None else checkpoints.shelf))
    bench = Bench(setting, models, None if checkpoints is None else checkpoints.write)
    state, graph = _begun(bench, notes) if checkpoints is None else checkpoints.resume(bench) or _begun(bench, notes)
    while state.stage != "done":
        keras.utils.set_random_seed((setting.training.seed + state.num_steps) % 2**32)
        state, graph = STEPS[state.stage](bench, state, graph)
        state = state.noted(*setting.notes).model_copy(update={"num_steps": state.num_steps + 1})
        if checkpoints is not None:
            checkpoints.write(state, Snapshot.of(graph.model))
    report = _report(setting, state).model_copy(update={"test": tested(setting, models, graph.model)})
    if setting.compiling is not None:
        setting.compiling.compile_for_delivery(graph.model)
    report = with_latency(report, functional, graph.model) if is_timed else report
    tell(setting, state, "saving")
    return PruningResult(graph.model, state.plan, report, state.history, _candidates(bench, state))


def _begun(bench: Bench, notes: tuple[str, ...]) -> tuple[RunState, ChannelGraph]:
    """Return the state in which nothing is done yet."""
    if bench.setting.data is not None and bench.setting.recovery is None:
        notes = (*notes, "the data has no targets: nothing was trained or measured")
    return RunState(plan=bench.models.whole(), wanted=bench.setting.widths, notes=notes), bench.models.copy()


def _candidates(bench: Bench, state: RunState) -> Callable[[str], tuple[keras.Model, PruningPlan]]:
    def candidate(name: str) -> tuple[keras.Model, PruningPlan]:
        kept = {each.candidate.name: each for each in state.kept}[name]
        model = bench.models.get(name, state).model
        if bench.setting.compiling is not None:
            bench.setting.compiling.compile_for_delivery(model)
        return model, kept.plan

    return candidate


def _report(setting: Setting, state: RunState) -> PruningReport:
    candidates = tuple(kept.candidate for kept in state.kept)
    return PruningReport(
        pruning=setting.spec,
        training=setting.training,
        steps=state.rows,
        layers=state.plan.layers,
        stopped_because=state.because,
        goal_met=state.goal_met,
        delivered=next((each.name for each in candidates if each.name == state.at_work), None),
        candidates=candidates,
        front=front(candidates),
        baselines=compared(setting, state),
        notes=state.noted(*setting.notes).notes,
        num_train_samples=0 if setting.data is None else setting.data.num_train,
        num_validation_samples=0 if setting.data is None else setting.data.num_val,
        versions=versions(),
    )
