"""Training, fine-tuning and measuring a model on data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import keras
import numpy as np

from pruning.datasets.data import Arrays, Data, Inputs, Targets
from pruning.datasets.rows import rows_of, taken
from pruning.errors import PruningError, TrainingError, first_line
from pruning.figures import of_test, of_validation
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.compiled import build_measures
from pruning.keras_model.configs import Config
from pruning.keras_model.graph import fixed_batch_size, last_layer, require_graph, structures
from pruning.keras_model.optimizer_state import build_optimizer, part_from_weights
from pruning.keras_model.parts import stateful_layers
from pruning.keras_model.weights import read_weights
from pruning.recovery.averaging import Averages
from pruning.recovery.chance import Chance
from pruning.recovery.harmless import FEWEST_SAMPLES, harmless
from pruning.recovery.held_out import MAX_RECONSTRUCTED, held_apart
from pruning.recovery.objective import Aims, with_objective
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.repair import repair
from pruning.recovery.schedule import Schedule
from pruning.recovery.snapshot import Snapshot, assign
from pruning.recovery.statistics import (
    refresh_statistics,
    restore_statistics,
    statistics_of,
    trained_normalizations,
)
from pruning.recovery.training_state import TrainingSnapshot, TrainingState
from pruning.recovery.watch import OnEpoch, Watch
from pruning.report import Repair
from pruning.selection.drop import WatchedMetric
from pruning.spec import Augmentation, PruningSpec, TrainingSpec
from pruning.surgery.rebuild import compile_like, rebuild, unchanged
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling
from pruning.training.fixed_batches import States
from pruning.training.freezing import frozen

T = TypeVar("T")


class Recovery:
    """Trains and measures the models of one job; an optimizer's state goes from one phase to the next.

    Args:
        training: How to train.
        compiling: What to compile with.
        data: Data that fits the model, with a validation set.

    Attributes:
        aims: What the next phase has at hand besides the data.
    """

    def __init__(self, training: TrainingSpec, compiling: Compiling, data: Data) -> None:
        self.aims = Aims()
        self._training = training
        self._compiling = compiling
        self._data = data

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        """Return loss and metrics on the validation set as `val_…`; the model is compiled on the way."""
        self._compiling.compile(model)
        return of_validation(self._evaluated(model, self.validation_batches(model)))

    def evaluate_on_test(self, model: keras.Model) -> dict[str, float]:
        """Return loss and metrics on the test set as `test_…`; the model is compiled on the way."""
        self._compiling.compile(model)
        batches = self._measuring_batches(model, self._data.x_test, self._data.y_test)
        return of_test(self._evaluated(model, batches))

    def harmless(self, model: keras.Model, watched: WatchedMetric) -> Augmentation:
        """Return the flips and shifts of images that a model does not mind on the validation set; see `harmless`."""
        shapes = [array.shape for array in self._data.x_val.values()]
        if self._data.num_val < FEWEST_SAMPLES or any(len(shape) != 4 for shape in shapes):
            return Augmentation()
        self._compiling.compile(model)
        order = np.random.default_rng(self._training.seed).permutation(self._data.num_val)

        def measure(change: Augmentation | None) -> dict[str, float]:
            y: Targets = taken(self._data.y_val, order) if change is None else self._data.y_val
            batches = self._measuring_batches(model, self._data.x_val, y, augmentation=change)
            return of_validation(self._evaluated(model, batches))

        crop = max(1, min(min(shape[1:3]) for shape in shapes) // 8)
        return harmless([Augmentation(horizontal_flip=True), Augmentation(crop=crop)], watched, measure)

    def settle(self, model: keras.Model, freeze: Sequence[str] = ()) -> bool:
        """Measure the statistics of BatchNormalization anew, in place, and keep whichever are better.

        Better is what has the lower loss on training samples on which nothing was measured, so that a model that was
        trained for long never loses by it. The model is compiled on the way.

        Args:
            model: Its moving means and variances may change.
            freeze: Patterns of the layers that stay as they are; so do those that are not trainable.

        Returns:
            Whether the new statistics are kept.

        Raises:
            TrainingError: Keras refused the data.
        """
        with frozen(model, freeze):
            normalizations = trained_normalizations(model)
        if not normalizations:
            return False
        measured, held_out = held_apart(self._data.num_train, self._training.seed)
        self._compiling.compile(model)
        judged = self._batches(model, held_out)
        before, loss = statistics_of(normalizations), self._evaluated(model, judged)["loss"]
        batches = self._batches(model, measured)
        refresh_statistics(model, normalizations, (batches[index][0] for index in range(len(batches))))
        refreshed = self._evaluated(model, judged)["loss"]
        is_better = refreshed < loss or not math.isfinite(loss)
        if not is_better:
            restore_statistics(normalizations, before)
        return is_better

    def repair(self, graph: ChannelGraph, small: ChannelGraph, stays: np.ndarray, spec: PruningSpec) -> Repair:
        """Do to a model right after a prune what helps without training; see `repair`."""
        measured, held_out = held_apart(self._data.num_train, self._training.seed)
        judged, batches = self._batches(small.model, held_out), self._batches(small.model, measured)
        with frozen(small.model, spec.freeze):  # As it is trained afterwards: then it need not be compiled again.
            self._compiling.compile(small.model)
            return repair(
                graph,
                small,
                stays,
                rows_of(self._data.x_train, measured[:MAX_RECONSTRUCTED]),
                error=lambda model: self._evaluated(model, judged)["loss"],
                batches=(batches[index][0] for index in range(len(batches))),
                spec=spec,
            )

    def _evaluated(self, model: keras.Model, batches: Batches) -> dict[str, float]:
        def evaluate() -> Mapping[str, float | np.ndarray]:
            build_measures(model, batches[0][1])
            return model.evaluate(batches, callbacks=[States()], verbose=0, return_dict=True)

        results = _guarded(evaluate)
        # A metric that gives a figure for each class is reported as their mean.
        return {name: float(np.mean(value)) for name, value in results.items()}

    def train(
        self,
        model: keras.Model,
        phase: TrainingPhase,
        on_epoch: OnEpoch,
        *,
        resumed: TrainingSnapshot | None = None,
        on_checkpoint: Callable[[TrainingSnapshot], None] | None = None,
    ) -> TrainingState:
        """Train a model in place, then settle its statistics; see `settle`.

        Args:
            model: Its weights change.
            phase: How long, and where in the budget.
            on_epoch: Told how far it is.
            resumed: Where an interrupted training of this phase stopped: it goes on and ends, bit for bit, as it
                would have done.
            on_checkpoint: Told after each epoch what it would take to go on from there.

        Returns:
            The state in the end; its history has, for each figure, one value an epoch, and validation figures start
            with `val_`.

        Raises:
            TrainingError: The loss became NaN or infinite, or Keras refused the data.
        """
        trained = self._fitted(model)
        self._compiling.compile(trained, to_train=True)
        batches = self.training_batches(model, phase.seed, 0 if resumed is None else resumed.state.epochs)
        validation = self.validation_batches(model)
        watch = Watch(phase, len(batches), on_epoch, on_checkpoint)
        averages: Averages | None = getattr(trained, "averages", None)
        if resumed is not None:
            resumed.snapshot.into(trained)
            watch.go_on(resumed)
            if averages is not None and resumed.averages is not None:
                averages.restore(resumed.averages)
        elif phase.watched is not None:
            watch.begin(trained, of_validation(self._evaluated(trained, validation)))
        first = watch.state.epochs
        schedule = Schedule(self._training, self._compiling.learning_rate, phase, len(batches))
        chance = Chance(self._training.seed + phase.seed, phase.num_epochs)
        # After its last epoch there is still something to do: averages of weights take the place of the weights.
        last = first if watch.state.is_over else phase.num_epochs
        fit = {"validation_data": validation, "initial_epoch": first, "epochs": last, "verbose": 0, "shuffle": False}

        def run() -> None:
            build_measures(trained, validation[0][1])
            build_optimizer(trained)
            trained.fit(batches, callbacks=[States(), chance, schedule, watch], **fit)

        _guarded(run, watch)
        part_from_weights(trained.optimizer)
        if trained is not model:
            assign(model.variables, [read_weights(variable) for variable in trained.variables])
            self._compiling.compile(model)
            self._compiling.hand_over(trained, model)
        self.settle(model)
        self._keep_best(model, phase, watch)
        return watch.state

    def _keep_best(self, model: keras.Model, phase: TrainingPhase, watch: Watch) -> None:
        """Go back to the best epoch of a phase, unless the last one is as good once its statistics are settled."""
        if phase.watched is None or watch.best is None or watch.state.best_epoch == watch.state.epochs:
            return
        name, kept, value = phase.watched.name, Snapshot.of(model).variables, self.evaluate(model)[phase.watched.name]
        assign(model.variables, watch.best)
        for is_settled in (False, True):
            if is_settled:
                self.settle(model)
            found = self.evaluate(model)[name]
            if phase.watched.is_better(found, value):
                kept, value = Snapshot.of(model).variables, found
        assign(model.variables, kept)

    @cached_property
    def _weights(self) -> Arrays:
        """What training samples count; the same arrays in each phase, for TensorFlow keeps them: see `Batches`."""
        return self._compiling.sample_weights(self._data)

    def training_batches(self, model: keras.Model, seed: int, first_epoch: int = 0) -> Batches:
        """Return training batches, shuffled and augmented, in the structures of a model."""
        return Batches(
            self._data.x_train,
            self._data.y_train,
            structures(model),
            batch_size=self._training.batch_size,
            is_filled=fixed_batch_size(model) is not None,
            shuffle=not stateful_layers(model),
            augmentation=self.aims.augmentation or self._training.known_augmentation,
            seed=self._training.seed + seed,
            first_epoch=first_epoch,
            weights=self._weights,
            smoothing=self._compiling.label_smoothing(),
        )

    def _batches(self, model: keras.Model, chosen: np.ndarray) -> Batches:
        """Return batches of some training samples, neither shuffled nor augmented."""
        return self._measuring_batches(model, self._data.x_train, self._data.y_train, samples=chosen)

    def validation_batches(self, model: keras.Model) -> Batches:
        """Return validation batches in the structures of a model."""
        return self._measuring_batches(model, self._data.x_val, self._data.y_val)

    def _measuring_batches(self, model: keras.Model, x: Inputs, y: Targets, **options: Any) -> Batches:
        fixed = fixed_batch_size(model)
        size = fixed or self._training.measuring_batch_size
        return Batches(x, y, structures(model), batch_size=size, is_filled=fixed is not None, **options)

    def _fitted(self, model: keras.Model) -> keras.Model:
        """Return what to train in place of a model, with variables in the order of the model's."""
        return with_objective(self._in_precision(model), self._training, self._compiling, self.aims)

    def _in_precision(self, model: keras.Model) -> keras.Model:
        """Return the model itself, or with mixed precision a copy that computes in half precision.

        It is bfloat16 on every device, whose gradients do not underflow: float16 would need its loss scaled.
        The last layers stay in full precision.
        """
        if not self._training.mixed_precision:
            return model
        policy = keras.DTypePolicy("mixed_bfloat16")
        last = {id(last_layer(tensor)) for tensor in require_graph(model).outputs}

        def edit(layer: keras.Operation, config: Config) -> Config:
            computes = isinstance(layer, keras.Layer) and layer.dtype_policy.name == "float32" and layer.weights
            if computes and id(layer) not in last:
                config["dtype"] = policy
            return config

        rebuilt = rebuild(model, edit, unchanged)
        compile_like(rebuilt, model, unchanged)
        return rebuilt.model


def _guarded(run: Callable[[], T], watch: Watch | None = None) -> T:
    """Run Keras on the user's data and turn its complaint about them into ours; the caller's own errors pass."""
    try:
        return run()
    except PruningError:
        raise
    except Exception as error:
        # Each backend has its own errors for labels and shapes that do not fit.
        if watch is not None and error is watch.failure:
            raise
        raise TrainingError(
            f"Keras could not train on the data: {first_line(error)}",
            field="training",
            hint="Check that loss, metrics and targets fit the model's outputs.",
        ) from error
