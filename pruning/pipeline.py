"""The whole story on one page: train → (prune → fine-tune)* → post-train."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import keras

from pruning.graph.groups import ChannelGraph
from pruning.measure import file_size_bytes
from pruning.plan import LayerPlan, PruningPlan, compose
from pruning.progress import OnProgress, Phase, Progress
from pruning.proof.verification import Proof, prove
from pruning.recovery.fitting import History, Recovery
from pruning.recovery.unlabelled import UnlabelledRecovery
from pruning.report import PruningReport, Repair, Step, StepReport
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import looks_at_data, require_data
from pruning.selection.bounds import check_patterns, require_prunable
from pruning.selection.costs import Costs
from pruning.selection.drop import Drop, WatchedMetric, shortfall
from pruning.selection.feasibility import require_reachable
from pruning.selection.goals import measure_baseline
from pruning.selection.iterations import MAX_ITERATIONS, Iterations
from pruning.selection.planning import describe, plan_prune, shown
from pruning.spec import PruningSpec, TrainingSpec, checked
from pruning.subclassed import as_functional
from pruning.surgery.cutting import kept_channels, prune_channels
from pruning.surgery.optimizer_state import has_state
from pruning.surgery.rebuild import copy_model
from pruning.training.compiling import Compiling
from pruning.training.data import Data
from pruning.training.freezing import frozen

MEASURED_TOLERANCE = {"target_file_bytes": 0.01, "target_latency": 0.05}
"""How far what is measured may lie above a target: by the share of what else is in a file, and by noise."""

_SCORING_UNITS = 0.9  # Of a prune that looks at data, which counts as one unit.
_PHASES: dict[Step, Phase] = {
    "initial": "loading",
    "training": "training",
    "pruning": "pruning",
    "fine-tuning": "fine-tuning",
    "restoring": "pruning",
    "post-training": "post-training",
}


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


def prune(
    model: keras.Model,
    spec: PruningSpec | Mapping[str, Any],
    data: Any = None,
    *,
    training: TrainingSpec | Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    notes: tuple[str, ...] = (),
) -> PruningResult:
    """Make a smaller model: train if asked, prune and fine-tune in turns, post-train.

    Sets Keras's global random seed to `training.seed`.

    Args:
        model: A functional or Sequential model, or a subclassed one that `as_functional` can write down; not changed.
        spec: What to remove and when to stop, as a spec or a dict of its fields.
        data: What `Data.of` takes; `None` prunes without training or metrics.
        training: How to train, likewise; ignored without data.
        on_progress: Called with a `Progress` at least once a step and epoch.
        notes: Lines for the report about what was done to the model before.

    Returns:
        The result; its model has passed `verify` at each prune.

    Raises:
        ModelError: The model has no graph that can be traced.
        NothingToPruneError: No channel can be removed.
        SpecError: A spec is not valid, a pattern matches no layer, or Keras does not know a name.
        InfeasibleError: A target cannot be reached, or no prune leaves the metric within `max_metric_drop`.
        DataError: The data does not fit the model.
        TrainingError: Training diverged.
        CriterionError: The criterion returned something unusable.
        VerificationError: A pruned model was not proven right.
    """
    spec = checked(PruningSpec, spec, "pruning")
    training = checked(TrainingSpec, training or {}, "training")
    require_data(spec.criterion, data is not None)
    functional = as_functional(model)
    if functional is not model:
        notes = (*notes, "the subclassed model is delivered as a functional model of the same layers")
    model = functional
    graph = ChannelGraph(model)
    check_patterns(graph, spec)
    require_prunable(graph, spec)
    run = _Run(spec, training, graph, on_progress or (lambda progress: None), list(notes))
    current = copy_model(model)
    if data is not None:
        run.use(current, Data.of(data))
    run.measure("initial", current)
    run.watch()
    run.train("training", current, run.training.epochs)
    current = run.prune_and_fine_tune(current)
    run.train("post-training", current, run.training.post_training_epochs)
    run.finish(current)
    return PruningResult(current, run.plan, run.report(), run.history)


def _without_training(training: TrainingSpec, data: Data) -> TrainingSpec:
    """Return the spec without epochs, which data without targets leaves no other choice.

    Raises:
        DataError: Epochs were asked for.
    """
    asked = training.model_fields_set & {"epochs", "fine_tuning_epochs", "post_training_epochs"}
    if any(getattr(training, field) for field in asked):
        data.require_targets("Training")
    return training.model_copy(update={"epochs": 0, "fine_tuning_epochs": 0, "post_training_epochs": 0})


@dataclass
class _Run:
    """The state of one prune."""

    spec: PruningSpec
    training: TrainingSpec
    graph: ChannelGraph
    on_progress: OnProgress
    notes: list[str]
    steps: list[StepReport] = field(default_factory=list)
    history: dict[str, History] = field(default_factory=dict)
    stopped_because: str = ""
    iteration: int | None = None
    _recovery: Recovery | None = None
    _repairing: Recovery | UnlabelledRecovery | None = None
    _compiling: Compiling | None = None
    _data: Data | None = None
    _watched: WatchedMetric | None = None
    _started: float = field(default_factory=time.monotonic)
    _done_units: float = 0.0

    def __post_init__(self) -> None:
        self.plan = describe(self.graph, {}, self.spec)
        costs = Costs(self.graph)
        self._baseline = measure_baseline(self.graph, self.spec, costs)
        self._iterations = Iterations(self.spec, self._baseline)
        is_repeated = self.spec.ratio is not None or self._iterations.count != 1
        require_reachable(self.graph, self.spec, self._baseline, costs, is_repeated=is_repeated)

    def use(self, model: keras.Model, data: Data) -> None:
        """Train and measure with this data from now on."""
        keras.utils.set_random_seed(self.training.seed)
        data = data.fit_to(model)
        if not data.is_labelled:
            self.training = _without_training(self.training, data)
            self._data = data.subset(self.training.max_train_samples, self.training.seed)
            self._repairing = UnlabelledRecovery(self.training, self._data)
            self.notes.append("the data has no targets: nothing was trained or measured")
            return
        data = data.split(self.training.validation_split, self.training.seed)
        data = data.subset(self.training.max_train_samples, self.training.seed)
        self._compiling = Compiling(model, self.training, data)
        self._data = self._compiling.fit_targets(data)
        self._recovery = self._repairing = Recovery(self.training, self._compiling, self._data)

    def watch(self) -> None:
        """Watch a metric from now on, if the spec asks for it."""
        if self.spec.max_metric_drop is not None:
            self._watched = WatchedMetric(self.spec, self.steps[-1].metrics)

    def prune_and_fine_tune(self, model: keras.Model) -> keras.Model:
        """Prune and fine-tune until a stop condition holds; the model is the pruned one."""
        graph = ChannelGraph(model)
        reference = self.steps[-1].metrics
        wanted: Mapping[str, int] = self._baseline.widths
        count = self._iterations.count or MAX_ITERATIONS
        good, drop = (model, self.plan, self.iteration), None
        for index in range(count):
            extent = self._iterations.extent(index, self.plan.num_channels_after, wanted)
            selection = plan_prune(graph, self.spec, extent, self._calibration(model))
            plan, before, wanted = selection.plan, wanted, selection.wanted
            if plan.num_channels_after == plan.num_channels_before:
                is_final = extent.scale > 0 and extent.at_most == self._iterations.goals
                if is_final and wanted == before:
                    self.stopped_because = self._missed(self._nothing_goes())
                    break
                continue
            self.iteration = index + 1
            self._tell("pruning", _SCORING_UNITS if looks_at_data(self.spec.criterion) else 0.0)
            started = time.monotonic()
            stays = graph.stays(kept_channels(graph, plan))
            small = prune_channels(graph, stays)
            self._note_state(model, small.model)
            proof = prove(graph, stays, small.model)
            proof.require()
            self.plan = compose(self.plan, plan)
            repaired = None
            if self._repairing is not None:
                self._tell("pruning", _SCORING_UNITS, message="reconstructing")
                repaired = self._repairing.repair(graph, small, stays, self.spec)
            model, graph = small.model, small
            self._done_units += 1
            self.measure("pruning", model, started, proof, plan.layers, repaired)
            self.train("fine-tuning", model, self.training.fine_tuning_epochs)
            is_reached = self._reached_limit()
            drop = self._excess(reference)
            if drop is None:
                good = model, self.plan, self.iteration
            if is_reached or (drop is not None and self._iterations.count is None):
                break  # A fixed number of iterations goes on: what one costs the next may win back.
        else:
            self.stopped_because = self._missed(f"all {count} iterations are done")
        return model if drop is None else self._go_back(drop, *good)

    def _excess(self, reference: Mapping[str, float]) -> Drop | None:
        """Return the drop of the watched metric where it is larger than the spec allows."""
        if self._watched is None or self.spec.max_metric_drop is None:
            return None
        drop = self._watched.drop(reference, self.steps[-1].metrics)
        return drop if drop.value > self.spec.max_metric_drop else None

    def _go_back(self, drop: Drop, model: keras.Model, plan: PruningPlan, iteration: int | None) -> keras.Model:
        """Deliver what was before the prune that cost too much."""
        limit = f"max_metric_drop {self.spec.max_metric_drop:g}"
        if iteration is None:
            raise drop.infeasible(limit)
        because = f"{limit}: {drop} in iteration {self.iteration}; the model of iteration {iteration} is delivered"
        self.plan, self.iteration = plan, iteration
        self.measure("restoring", model, time.monotonic())
        self.stopped_because = self._missed(because)
        return model

    def _calibration(self, model: keras.Model) -> Calibration | None:
        """Return training samples for a criterion that looks at data."""
        if self._data is None or not looks_at_data(self.spec.criterion):
            return None
        told = [0.0]

        def on_share(share: float) -> None:
            if time.monotonic() - told[0] >= 1:
                told[0] = time.monotonic()
                self._tell("pruning", _SCORING_UNITS * share, message="looking at the channels")

        return Calibration.of(
            model,
            self._data,
            num_samples=self.spec.calibration_samples,
            seed=self.spec.seed,
            compiling=self._compiling,
            on_share=on_share,
        )

    def train(self, step: Step, model: keras.Model, num_epochs: int) -> None:
        """Train for a phase, if there is data and the phase has epochs."""
        if self._recovery is None or num_epochs == 0:
            return
        started = time.monotonic()

        def on_epoch(epoch: int, share: float, metrics: dict[str, float]) -> None:
            self._tell(_PHASES[step], share * num_epochs, epoch=epoch, num_epochs=num_epochs, metrics=metrics)

        seed = 1000 * len(self.steps)
        name = f"{step} {self.iteration}" if step == "fine-tuning" else step
        with frozen(model, self.spec.freeze):
            self.history[name] = self._recovery.train(model, num_epochs, seed, on_epoch)
        self._done_units += num_epochs
        self.measure(step, model, started)

    def measure(
        self,
        step: Step,
        model: keras.Model,
        started: float | None = None,
        proof: Proof | None = None,
        layers: tuple[LayerPlan, ...] = (),
        repaired: Repair | None = None,
    ) -> None:
        """Add a row to the report: params, MACs, bytes, metrics."""
        started = self._started if started is None else started
        metrics = {} if self._recovery is None else self._measured(model, step)
        row = StepReport(
            step=step,
            iteration=self.iteration if step in ("pruning", "fine-tuning", "restoring") else None,
            params=self.plan.params_after,
            macs=self.plan.macs_after,
            file_bytes=self._file_bytes(model),
            latency_seconds=self._latency(model),
            metrics=metrics,
            seconds=time.monotonic() - started,
            max_relative_difference=None if proof is None else proof.max_relative_difference,
            repair=repaired,
            layers=layers,
        )
        self.steps.append(row)
        figures = {**metrics, "params": float(row.params)} | ({} if row.macs is None else {"macs": float(row.macs)})
        self._tell(_PHASES[step], 0.0, metrics=figures, message=f"{step} measured")

    def _measured(self, model: keras.Model, step: Step) -> dict[str, float]:
        """Return the metrics of a model, with fresh statistics after training; after a prune it is repaired already."""
        assert self._recovery is not None
        if step in ("training", "fine-tuning", "post-training"):
            self._recovery.settle(model, self.spec.freeze)
        return self._recovery.evaluate(model)

    def _note_state(self, before: keras.Model, after: keras.Model) -> None:
        """Note that the optimizer starts afresh if it did not survive the prune."""
        if before.compiled and has_state(before.optimizer) and not after.optimizer.built:
            note = f"{type(before.optimizer).__name__} starts afresh after each prune: its state cannot be cut"
            self.notes += [note] if note not in self.notes else []

    def _file_bytes(self, model: keras.Model) -> int:
        """Return the size of the file that the model would be delivered in."""
        if self._compiling is None:
            return file_size_bytes(model)
        optimizer = model.optimizer
        self._compiling.compile_for_delivery(model)
        size = file_size_bytes(model)
        self._compiling.compile(model, optimizer)
        return size

    def finish(self, model: keras.Model) -> None:
        """Compile the model for delivery, note if it is far from what it was, and say that the work is done."""
        before = [row for row in self.steps if row.step in ("initial", "training")][-1]
        self.notes += filter(None, [shortfall(self.spec, before.metrics, self.steps[-1].metrics)])
        if self._compiling is not None:
            self._compiling.compile_for_delivery(model)
        self._done_units = self._units()
        self._tell("saving", 0.0)

    def report(self) -> PruningReport:
        """Return the report of everything so far."""
        compiling_notes = [] if self._compiling is None else self._compiling.notes
        return PruningReport(
            pruning=self.spec,
            training=self.training,
            steps=tuple(self.steps),
            layers=self.plan.layers,
            stopped_because=self.stopped_because,
            notes=(*self.notes, *compiling_notes),
            num_train_samples=0 if self._data is None else self._data.num_train,
            num_validation_samples=0 if self._data is None else self._data.num_val,
            versions={
                "python": platform.python_version(),
                "keras": keras.__version__,
                "backend": keras.backend.backend(),
                "ridurre": metadata.version("ridurre"),
            },
        )

    def _latency(self, model: keras.Model) -> float | None:
        stopwatch = self._baseline.stopwatch
        return None if stopwatch is None else stopwatch.measure(model).seconds

    def _reached_limit(self) -> bool:
        reached = [f"{name} {shown(target)}" for name, target in self.spec.targets.items()]
        if reached and not self._unmet():
            self.stopped_because = f"{' and '.join(reached)} {'is' if len(reached) == 1 else 'are'} reached"
            return True
        most, channels = self.spec.max_filters_removed, self._baseline.num_channels
        if most is not None and channels - self.plan.num_channels_after + 1 > most * channels:
            self.stopped_because = self._missed(f"max_filters_removed {shown(most)} is reached")
            return True
        return False

    def _nothing_goes(self) -> str:
        if self.spec.targets and not self._unmet():
            targets = " and ".join(f"{name} {shown(target)}" for name, target in self.spec.targets.items())
            return f"the model is already within {targets}: no channel has to go"
        return "no channel is left that the ratio and the limits allow to remove"

    def _unmet(self) -> dict[str, float]:
        """Return field of each target that is not met → what is left."""
        last = self.steps[-1]
        left = {
            "target_params": last.params,
            "target_macs": last.macs or 0,
            "target_file_bytes": last.file_bytes,
            "target_latency": last.latency_seconds or 0.0,
        }
        return {
            name: left[name]
            for name, goal in self._iterations.goals.items()
            if left[name] > goal * (1 + MEASURED_TOLERANCE.get(name, 0.0))
        }

    def _missed(self, because: str) -> str:
        """Add to a reason for stopping which targets were not reached."""
        missed = [
            f"{name} {shown(self.spec.targets[name])} missed: {left / self._baseline.amounts[name]:.4f} left"
            for name, left in self._unmet().items()
        ]
        return "; ".join([because, *missed])

    def _units(self) -> float:
        """Return the whole work in epochs; a prune counts as one."""
        fine_tuning = 0 if self._recovery is None else self.training.fine_tuning_epochs
        ends = 0 if self._recovery is None else self.training.epochs + self.training.post_training_epochs
        return ends + (1 + fine_tuning) * self._expected_iterations()

    def _expected_iterations(self) -> int:
        return max(self._iterations.expected(), self.iteration or 0)

    def _tell(self, phase: Phase, units_in_phase: float, **details: Any) -> None:
        fraction = min(1.0, (self._done_units + units_in_phase) / max(self._units(), 1.0))
        self.on_progress(
            Progress(phase, fraction, iteration=self.iteration, num_iterations=self._iterations.count, **details)
        )
