"""What is fixed for a whole run: what is asked, of which model, with which data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import keras

from pruning.counting.costs import Costs
from pruning.datasets.data import Data
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.finite import require_finite
from pruning.progress import OnProgress
from pruning.recovery.budget import Budget
from pruning.recovery.fitting import Recovery
from pruning.recovery.unlabelled import UnlabelledRecovery
from pruning.run.trial import Trial
from pruning.selection.bounds import check_patterns, require_prunable
from pruning.selection.feasibility import require_reachable
from pruning.selection.goals import Baseline, Stopwatch, measure_baseline
from pruning.selection.iterations import Iterations
from pruning.selection.sensitivity import Sensitivities
from pruning.spec import PruningSpec, TrainingSpec
from pruning.training.compiling import Compiling


@dataclass(frozen=True)
class Asked:
    """What one trial asks, and what that comes to for the model.

    Attributes:
        spec: What to remove and when to stop.
        baseline: The model before the first prune, as far as the targets speak of it.
        iterations: How the way to the targets is divided.
    """

    spec: PruningSpec
    baseline: Baseline
    iterations: Iterations


@dataclass
class Setting:
    """What a run goes by.

    Attributes:
        spec: What is asked of the whole run.
        training: How to train.
        graph: The model as it came, traced.
        on_progress: Who is told how far it is.
        data: What to train, measure and look at; `None` without data.
        compiling: What models are compiled with; `None` without targets.
        recovery: Trains and measures; `None` without targets.
        repairing: Repairs after a prune; `None` without data.
        sensitivities: What was measured of the run's models so far, where the scope asks for it.
    """

    spec: PruningSpec
    training: TrainingSpec
    graph: ChannelGraph
    on_progress: OnProgress
    data: Data | None = None
    compiling: Compiling | None = None
    recovery: Recovery | None = None
    repairing: Recovery | UnlabelledRecovery | None = None
    sensitivities: Sensitivities = field(default_factory=Sensitivities)
    _asked: dict[Trial, Asked] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: keras.Model, spec: PruningSpec, training: TrainingSpec, data: Data | None, on_progress: OnProgress
    ) -> Setting:
        """Check what can be checked before anything is paid for.

        Raises:
            ModelError: The model has no graph that can be traced.
            NothingToPruneError: No channel can be removed.
            SpecError: A pattern matches no layer, or Keras does not know a name.
            InfeasibleError: A target cannot be reached.
            DataError: The data does not fit the model.
        """
        graph = ChannelGraph(model)
        require_finite(model)
        check_patterns(graph, spec)
        require_prunable(graph, spec)
        setting = cls(spec, training, graph, on_progress)
        if spec.extent_is_given:
            setting.asked(Trial())
        if data is not None:
            setting._use(data)
        return setting

    def _use(self, data: Data) -> None:
        keras.utils.set_random_seed(self.training.seed)
        data = data.fit_to(self.graph.model)
        if not data.is_labelled:
            self.training = _without_training(self.training, data)
            self.data = data.subset(self.training.max_train_samples, self.training.seed)
            self.repairing = UnlabelledRecovery(self.training, self.data)
            return
        data = data.split(self.training.validation_split, self.training.seed)
        data = data.subset(self.training.max_train_samples, self.training.seed)
        self.compiling = Compiling(self.graph.model, self.training, data)
        self.data = self.compiling.fit_targets(data)
        self.recovery = self.repairing = Recovery(self.training, self.compiling, self.data)

    @cached_property
    def costs(self) -> Costs:
        """What the groups of the model as it came cost."""
        return Costs(self.graph)

    @property
    def widths(self) -> dict[str, int]:
        """Group of the model as it came → its number of channels."""
        return {group.name: group.num_channels for group in self.graph.groups}

    @property
    def notes(self) -> list[str]:
        """What was assumed of how to train, so far."""
        return [] if self.compiling is None else self.compiling.notes

    @property
    def size_field(self) -> str:
        """The target that sizes are given by: multiply-accumulates where they can be counted."""
        if self.spec.sweep is not None and self.spec.sweep.measure == "params":
            return "target_params"
        return "target_macs" if self.costs.uncounted is None else "target_params"

    def asked(self, trial: Trial) -> Asked:
        """Return what a trial asks.

        Raises:
            SpecError: Something that a target limits cannot be counted.
            InfeasibleError: A target cannot be reached.
        """
        if trial not in self._asked:
            spec = trial.spec(self.spec)
            is_measured = spec.targets == self.spec.targets and trial != Trial()  # A latency is timed once in a run.
            baseline = self.asked(Trial()).baseline if is_measured else measure_baseline(self.graph, spec, self.costs)
            iterations = Iterations(spec, baseline)
            is_repeated = spec.ratio is not None or iterations.count != 1
            require_reachable(self.graph, spec, baseline, self.costs, is_repeated=is_repeated)
            self._asked[trial] = Asked(spec, baseline, iterations)
        return self._asked[trial]

    def budget(self, trial: Trial) -> Budget:
        """Return how long to train for a trial; see `asked`."""
        iterations = self.asked(trial).iterations
        num_samples = 0 if self.recovery is None or self.data is None else self.data.num_train
        return Budget.of(self.training, num_samples, iterations.expected(), iterations.expected_left())

    @property
    def stopwatch(self) -> Stopwatch | None:
        """What times models against the limit that the spec sets to a call, whatever a trial asks."""
        return self.asked(Trial()).baseline.stopwatch if self.spec.target_latency is not None else None


def _without_training(training: TrainingSpec, data: Data) -> TrainingSpec:
    """Return the spec without epochs, which data without targets leaves no other choice.

    Raises:
        DataError: Epochs were asked for.
    """
    asked = training.model_fields_set & {"epochs", "fine_tuning_epochs", "post_training_epochs"}
    if any(getattr(training, name) not in (0, "auto") for name in asked):
        data.require_targets("Training")
    return training.model_copy(update={"epochs": 0, "fine_tuning_epochs": 0, "post_training_epochs": 0})
