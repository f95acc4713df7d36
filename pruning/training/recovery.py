"""Training, fine-tuning and measuring a model on data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pruning.errors import PruningError, TrainingError, first_line
from pruning.graph.models import last_layer, require_graph
from pruning.spec import TrainingSpec
from pruning.surgery.rebuild import compile_like, rebuild, unchanged
from pruning.training.batches import Batches
from pruning.training.compiling import Compiling
from pruning.training.data import Data

_RECALIBRATION_BATCHES = 10

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
        batches = self._validation_batches(model)
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
        schedule = _Schedule(self._training, self._compiling.learning_rate, num_epochs * len(batches))
        watch = _Watch(on_epoch, num_epochs, len(batches))
        fit = {"validation_data": validation, "epochs": num_epochs, "verbose": 0, "shuffle": False}
        history = _guarded(lambda: trained.fit(batches, callbacks=[schedule, watch], **fit).history, watch)
        if trained is not model:
            for source, target in zip(trained.variables, model.variables, strict=True):
                target.assign(source)
            self._compiling.compile(model, trained.optimizer, trained.variables)
        return {name: [float(np.mean(value)) for value in values] for name, values in history.items()}

    def recalibrate(self, model: keras.Model) -> None:
        """Measure the statistics of every BatchNormalization anew, in place, on some training batches.

        After a prune they describe activations that are no more; the moving average of a short
        fine-tuning would not catch up.
        """
        normalizations = [layer for layer in _batch_normalizations(model) if layer.trainable]
        batches = self._training_batches(model, seed=0, augmented=False)
        momenta = [layer.momentum for layer in normalizations]
        for index in range(min(_RECALIBRATION_BATCHES, len(batches)) if normalizations else 0):
            for layer in normalizations:
                layer.momentum = index / (index + 1)
            model(batches[index][0], training=True)
        for layer, momentum in zip(normalizations, momenta, strict=True):
            layer.momentum = momentum

    def _training_batches(self, model: keras.Model, seed: int, *, augmented: bool = True) -> Batches:
        return Batches(
            self._data.x_train,
            self._data.y_train,
            _structures(model),
            batch_size=self._training.batch_size,
            shuffle=True,
            augmentation=self._training.augmentation if augmented else None,
            seed=self._training.seed + seed,
        )

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


class _Schedule(keras.callbacks.Callback):
    """Warm up to the peak learning rate, then follow the schedule to the end of the phase."""

    def __init__(self, training: TrainingSpec, peak: float, num_steps: int) -> None:
        super().__init__()
        self._kind, self._peak, self._num_steps = training.learning_rate_schedule, peak, max(num_steps, 1)
        self._warmup = int(training.warmup_fraction * num_steps)
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.rate(self._step)
        self._step += 1

    def rate(self, step: int) -> float:
        """Return the learning rate at a step of the phase, counted from 0."""
        if step < self._warmup:
            return self._peak * (step + 1) / self._warmup
        share = (step - self._warmup) / max(self._num_steps - self._warmup, 1)
        factors = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
        return self._peak * factors[self._kind]


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


def _batch_normalizations(model: keras.Model) -> list[Any]:
    layers = model._flatten_layers(include_self=False)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


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
