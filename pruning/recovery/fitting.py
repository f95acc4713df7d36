"""Training, fine-tuning and measuring a model on data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from pruning.errors import PruningError, TrainingError, first_line
from pruning.graph.groups import ChannelGraph
from pruning.graph.models import last_layer, require_graph
from pruning.recovery.held_out import MAX_RECONSTRUCTED, held_apart, taken
from pruning.recovery.repair import repair
from pruning.recovery.schedule import Schedule
from pruning.recovery.statistics import (
    refresh_statistics,
    restore_statistics,
    statistics_of,
    trained_normalizations,
)
from pruning.report import Repair
from pruning.spec import PruningSpec, TrainingSpec
from pruning.surgery.rebuild import compile_like, rebuild, unchanged
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling
from pruning.training.data import Data
from pruning.training.freezing import frozen

History = dict[str, list[float]]
OnEpoch = Callable[[int, float, dict[str, float]], None]
"""`on_epoch(epoch from 1, share of the phase done, latest figures)`, at most once a second and at each epoch's end."""


class Recovery:
    """Trains and measures the models of one job; an optimizer's state goes from one phase to the next.

    Args:
        training: How to train.
        compiling: What to compile with.
        data: Data that fits the model, with a validation set.
    """

    def __init__(self, training: TrainingSpec, compiling: Compiling, data: Data) -> None:
        self._training = training
        self._compiling = compiling
        self._data = data

    def evaluate(self, model: keras.Model) -> dict[str, float]:
        """Return loss and metrics on the validation set; the model is compiled on the way."""
        self._compiling.compile(model)
        return self._evaluated(model, self._validation_batches(model))

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
        self._compiling.compile(small.model)
        judged, batches = self._batches(small.model, held_out), self._batches(small.model, measured)
        return repair(
            graph,
            small,
            stays,
            taken(self._data.x_train, measured[:MAX_RECONSTRUCTED]),
            error=lambda model: self._evaluated(model, judged)["loss"],
            batches=[batches[index][0] for index in range(len(batches))],
            spec=spec,
        )

    def _evaluated(self, model: keras.Model, batches: Batches) -> dict[str, float]:
        results = _guarded(lambda: model.evaluate(batches, verbose=0, return_dict=True))
        # A metric that gives a figure for each class is reported as their mean.
        return {name: float(np.mean(value)) for name, value in results.items()}

    def train(self, model: keras.Model, num_epochs: int, phase_seed: int, on_epoch: OnEpoch) -> History:
        """Train a model in place.

        Args:
            model: Its weights change.
            num_epochs: Passes over the training set.
            phase_seed: Sets phases of one job apart.
            on_epoch: Told how far it is.

        Returns:
            For each figure one value an epoch; validation figures start with `val_`.

        Raises:
            TrainingError: The loss became NaN or infinite, or Keras refused the data.
        """
        trained = self._trained_copy(model)
        self._compiling.compile(trained)
        batches = self._training_batches(model, phase_seed)
        validation = self._validation_batches(model)
        schedule = Schedule(self._training, self._compiling.learning_rate, num_epochs * len(batches))
        watch = _Watch(on_epoch, num_epochs, len(batches))
        fit = {"validation_data": validation, "epochs": num_epochs, "verbose": 0, "shuffle": False}
        history = _guarded(lambda: trained.fit(batches, callbacks=[schedule, watch], **fit).history, watch)
        if trained is not model:
            for source, target in zip(trained.variables, model.variables, strict=True):
                target.assign(source)
            self._compiling.compile(model, trained.optimizer, trained.variables)
        return {name: [float(np.mean(value)) for value in values] for name, values in history.items()}

    def _training_batches(self, model: keras.Model, seed: int) -> Batches:
        return Batches(
            self._data.x_train,
            self._data.y_train,
            _structures(model),
            batch_size=self._training.batch_size,
            shuffle=True,
            augmentation=self._training.augmentation,
            seed=self._training.seed + seed,
            weights=self._compiling.sample_weights(self._data),
            smoothing=self._compiling.label_smoothing(),
        )

    def _batches(self, model: keras.Model, chosen: np.ndarray) -> Batches:
        """Return batches of some training samples, neither shuffled nor augmented."""

        x, y = taken(self._data.x_train, chosen), taken(self._data.y_train, chosen)
        return Batches(x, y, _structures(model), batch_size=max(self._training.batch_size, 128))

    def _validation_batches(self, model: keras.Model) -> Batches:
        return Batches(
            self._data.x_val, self._data.y_val, _structures(model), batch_size=max(self._training.batch_size, 128)
        )

    def _trained_copy(self, model: keras.Model) -> keras.Model:
        """Return the model itself, or with mixed precision a copy that computes in half precision.

        The last layers stay in full precision, so that the loss does not overflow.
        """
        if not self._training.mixed_precision:
            return model
        policy = keras.DTypePolicy("mixed_float16" if _has_gpu() else "mixed_bfloat16")
        last = {id(last_layer(tensor)) for tensor in require_graph(model).outputs}

        def edit(layer: Any, config: dict[str, Any]) -> dict[str, Any]:
            wanted = getattr(layer, "dtype_policy", None)
            if wanted is not None and wanted.name == "float32" and id(layer) not in last and layer.weights:
                config["dtype"] = policy
            return config

        rebuilt = rebuild(model, edit, unchanged)
        compile_like(rebuilt, model, unchanged)
        return rebuilt.model


class _Watch(keras.callbacks.Callback):
    """Report progress and stop a training that diverged."""

    def __init__(self, on_epoch: OnEpoch, num_epochs: int, num_batches: int) -> None:
        super().__init__()
        self._on_epoch, self._num_epochs, self._num_batches = on_epoch, num_epochs, num_batches
        self._epoch, self._told = 1, time.monotonic()
        self.failure: Exception | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() - self._told >= 1:
            self._tell((self._epoch - 1 + (batch + 1) / self._num_batches) / self._num_epochs, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # After the last step only the validation loss shows that the weights have run away.
        losses = {name: value for name, value in (logs or {}).items() if name in ("loss", "val_loss")}
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise TrainingError(
                "The training loss became NaN or infinite.",
                field="training.learning_rate",
                received=f"{', '.join(f'{name} {loss}' for name, loss in losses.items())} in epoch {epoch + 1}",
                expected="a finite loss",
                hint="Lower the learning rate, or check the scale of the inputs.",
            )
        self._tell((epoch + 1) / self._num_epochs, logs)

    def _tell(self, share: float, logs: Any) -> None:
        self._told = time.monotonic()
        try:
            self._on_epoch(self._epoch, share, {name: float(np.mean(value)) for name, value in (logs or {}).items()})
        except Exception as error:
            self.failure = error
            raise


def _structures(model: keras.Model) -> tuple[Any, Any]:
    graph = require_graph(model)
    return graph._inputs_struct, graph._outputs_struct


def _guarded(run: Callable[[], Any], watch: _Watch | None = None) -> Any:
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


def _has_gpu() -> bool:
    return any(name.startswith(("gpu", "cuda")) for name in keras.distribution.list_devices())
