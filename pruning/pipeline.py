"""The whole story on one page: train → (prune → fine-tune)* → post-train."""

from __future__ import annotations

import math
import platform
import time
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import keras

from pruning.calibration import Calibration
from pruning.compiling import Compiling
from pruning.data import Data
from pruning.graph.groups import ChannelGraph
from pruning.measure import file_size_bytes
from pruning.optimizer_state import has_state
from pruning.plan import LayerPlan, PruningPlan, compose
from pruning.progress import OnProgress, Phase, Progress
from pruning.proof import Proof, prove
from pruning.rebuild import copy_model
from pruning.recovery import History, Recovery
from pruning.report import PruningReport, Step, StepReport
from pruning.scoring import looks_at_data, require_data
from pruning.selection import Extent, check_patterns, describe, kept_channels, plan_prune, require_prunable
from pruning.spec import PruningSpec, TrainingSpec
from pruning.surgery import prune_channels

_MAX_ITERATIONS = 1000
_PHASES: dict[Step, Phase] = {
    "initial": "loading",
    "training": "training",
    "pruning": "pruning",
    "fine-tuning": "fine-tuning",
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
    spec: PruningSpec,
    data: Any = None,
    *,
    training: TrainingSpec | None = None,
    on_progress: OnProgress | None = None,
    notes: tuple[str, ...] = (),
) -> PruningResult:
    """Make a smaller model: train if asked, prune and fine-tune in turns, post-train.

    Sets Keras's global random seed to `training.seed`.

    Args:
        model: A functional or Sequential model; not changed.
        spec: What to remove and when to stop.
        data: What `Data.of` takes; `None` prunes without training or metrics.
        training: How to train; ignored without data.
        on_progress: Called with a `Progress` at least once a step and epoch.
        notes: Lines for the report about what was done to the model before.

    Returns:
        The result; its model has passed `verify` at each prune.

    Raises:
        ModelError: The model has no graph that can be traced.
        NothingToPruneError: No channel can be removed.
        SpecError: A pattern matches no layer, or Keras does not know a name.
        DataError: The data does not fit the model.
        TrainingError: Training diverged.
        CriterionError: The criterion returned something unusable.
        VerificationError: A pruned model was not proven right.
    """
    spec = PruningSpec.model_validate(spec)
    training = TrainingSpec() if training is None else TrainingSpec.model_validate(training)
    require_data(spec.criterion, data is not None)
    graph = ChannelGraph(model)
    check_patterns(graph, spec)
    require_prunable(graph, spec)
    run = _Run(spec, training, graph, on_progress or (lambda progress: None), list(notes))
    current = copy_model(model)
    if data is not None:
        run.use(current, Data.of(data))
    run.measure("initial", current)
    run.train("training", current, run.training.epochs)
    current = run.prune_and_fine_tune(current)
    run.train("post-training", current, run.training.post_training_epochs)
    run.finish(current)
    return PruningResult(current, run.plan, run.report(), run.history)


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
    _compiling: Compiling | None = None
    _data: Data | None = None
    _started: float = field(default_factory=time.monotonic)
    _done_units: float = 0.0

    def __post_init__(self) -> None:
        self.plan = describe(self.graph, {}, self.spec)
        self._params_at_start = self.plan.params_before
        self._channels_at_start = self.plan.num_channels_before
        self._num_iterations = _num_iterations(self.spec)

    def use(self, model: keras.Model, data: Data) -> None:
        """Train and measure with this data from now on."""
        keras.utils.set_random_seed(self.training.seed)
        data = data.fit_to(model).split(self.training.validation_split, self.training.seed)
        data = data.subset(self.training.max_train_samples, self.training.seed)
        self._compiling = Compiling(model, self.training, data)
        self._data = self._compiling.fit_targets(data)
        self._recovery = Recovery(self.training, self._compiling, self._data)

    def prune_and_fine_tune(self, model: keras.Model) -> keras.Model:
        """Prune and fine-tune until a stop condition holds; the model is the pruned one."""
        graph = ChannelGraph(model)
        for index in range(self._num_iterations or _MAX_ITERATIONS):
            plan = plan_prune(graph, self.spec, self._extent(index), self._calibration(model))
            if plan.num_channels_after == plan.num_channels_before:
                self.stopped_because = self._missed("no channel is left that the ratio and the limits allow to remove")
                return model
            self.iteration = index + 1
            self._tell("pruning", 0.0)
            started = time.monotonic()
            stays = graph.stays(kept_channels(graph, plan))
            small = prune_channels(graph, stays)
            self._note_state(model, small.model)
            proof = prove(graph, stays, small.model)
            proof.require()
            self.plan = compose(self.plan, plan)
            model, graph = small.model, small
            self.measure("pruning", model, started, proof, plan.layers)
            self._done_units += 1
            self.train("fine-tuning", model, self.training.fine_tuning_epochs)
            if self._reached_limit():
                return model
        self.stopped_because = self._missed(f"all {self._num_iterations or _MAX_ITERATIONS} iterations are done")
        return model

    def _calibration(self, model: keras.Model) -> Calibration | None:
        """Return training samples for a criterion that looks at data."""
        if self._data is None or not looks_at_data(self.spec.criterion):
            return None
        told = [0.0]

        def on_share(share: float) -> None:
            if time.monotonic() - told[0] >= 1:
                told[0] = time.monotonic()
                self._tell("pruning", share, message="looking at the channels")

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

        if step == "fine-tuning":
            self._recovery.recalibrate(model)
        seed = 1000 * len(self.steps)
        name = f"{step} {self.iteration}" if step == "fine-tuning" else step
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
    ) -> None:
        """Add a row to the report: params, MACs, bytes, metrics."""
        started = self._started if started is None else started
        metrics = {} if self._recovery is None else self._recovery.evaluate(model)
        row = StepReport(
            step=step,
            iteration=self.iteration if step in ("pruning", "fine-tuning") else None,
            params=self.plan.params_after,
            macs=self.plan.macs_after,
            file_bytes=self._file_bytes(model),
            metrics=metrics,
            seconds=time.monotonic() - started,
            max_relative_difference=None if proof is None else proof.max_relative_difference,
            layers=layers,
        )
        self.steps.append(row)
        figures = {**metrics, "params": float(row.params)} | ({} if row.macs is None else {"macs": float(row.macs)})
        self._tell(_PHASES[step], 0.0, metrics=figures, message=f"{step} measured")

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
        """Compile the model for delivery and say that the work is done."""
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

    def _extent(self, index: int) -> Extent:
        """Return how far iteration `index` may go; without a ratio the way to the target is divided evenly."""
        target, most = self.spec.target_params, self.spec.max_filters_removed
        count = self._num_iterations
        share = (index + 1) / count if count is not None and self.spec.ratio is None else 1.0
        removed = self._channels_at_start - self.plan.num_channels_after
        return Extent(
            scale=_scale(self.spec, index),
            min_params=None if target is None else math.floor(self._params_at_start * target**share),
            max_removed_channels=None if most is None else int(most * share * self._channels_at_start) - removed,
        )

    def _reached_limit(self) -> bool:
        target, most = self.spec.target_params, self.spec.max_filters_removed
        if target is not None and self.plan.params_after <= target * self._params_at_start:
            self.stopped_because = f"target_params {target} is reached"
            return True
        removed = self._channels_at_start - self.plan.num_channels_after
        if most is not None and removed + 1 > most * self._channels_at_start:
            self.stopped_because = f"max_filters_removed {most} is reached"
            return True
        return False

    def _missed(self, because: str) -> str:
        """Add to a reason for stopping that the target was not reached, if it was not."""
        target, left = self.spec.target_params, self.plan.params_after / self._params_at_start
        return (
            because
            if target is None or left <= target
            else f"{because}; target_params {target} missed: {left:.4f} left"
        )

    def _units(self) -> float:
        """Return the whole work in epochs; a prune counts as one."""
        fine_tuning = 0 if self._recovery is None else self.training.fine_tuning_epochs
        ends = 0 if self._recovery is None else self.training.epochs + self.training.post_training_epochs
        return ends + (1 + fine_tuning) * self._expected_iterations()

    def _expected_iterations(self) -> int:
        count = self._num_iterations or _MAX_ITERATIONS
        if self.spec.ratio is not None and self.spec.target_params is not None:
            # Parameters fall with the square of the channels.
            needed = math.log(self.spec.target_params) / (2 * math.log(1 - self.spec.ratio))
            count = min(count, max(1, math.ceil(needed)))
        return max(count if count < _MAX_ITERATIONS else 10, self.iteration or 0)

    def _tell(self, phase: Phase, units_in_phase: float, **details: Any) -> None:
        fraction = min(1.0, (self._done_units + units_in_phase) / max(self._units(), 1.0))
        self.on_progress(
            Progress(phase, fraction, iteration=self.iteration, num_iterations=self._num_iterations, **details)
        )


def _num_iterations(spec: PruningSpec) -> int | None:
    """Return how many iterations there are at most, `None` where only a limit decides."""
    if spec.schedule == "one_shot":
        return 1
    if spec.num_iterations is not None:
        return spec.num_iterations
    limited = spec.target_params is not None or spec.max_filters_removed is not None
    return None if limited and spec.ratio is not None else 1


def _scale(spec: PruningSpec, index: int) -> float:
    if spec.schedule == "linear" and spec.num_iterations is not None:
        return (spec.num_iterations - index) / spec.num_iterations
    return 0.5**index if spec.schedule == "exponential" else 1.0
