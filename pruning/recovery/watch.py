"""What happens beside the steps of a training: progress, checkpoints, and its end before time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

import keras
import numpy as np

from pruning.errors import TrainingError
from pruning.recovery.averaging import Averages
from pruning.recovery.early_stopping import judged
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.snapshot import Snapshot
from pruning.recovery.training_state import TrainingSnapshot, TrainingState

OnEpoch = Callable[[int, float, dict[str, float]], None]
"""`on_epoch(epoch from 1, share of the phase done, latest figures)`, at most once a second and at each epoch's end."""

Logs = Mapping[str, float | np.ndarray] | None
"""Figures by name, as Keras tells them; of some metrics one for each class."""


class Watch(keras.callbacks.Callback):
    """Watches over one phase.

    Args:
        phase: What is trained.
        num_batches: Steps of one epoch.
        on_epoch: Told how far it is.
        on_checkpoint: Told after each epoch what it takes to go on from there.

    Attributes:
        state: How far it is.
        best: The model's variables after the best epoch, where one is watched for.
        failure: What a caller's function raised; Keras would wrap it.
    """

    def __init__(
        self,
        phase: TrainingPhase,
        num_batches: int,
        on_epoch: OnEpoch,
        on_checkpoint: Callable[[TrainingSnapshot], None] | None = None,
    ) -> None:
        super().__init__()
        self._phase, self._num_batches = phase, num_batches
        self._on_epoch, self._on_checkpoint = on_epoch, on_checkpoint
        self._told = time.monotonic()
        self.state = TrainingState()
        self.best: list[np.ndarray] | None = None
        self.failure: Exception | None = None

    def begin(self, model: keras.Model, figures: dict[str, float]) -> None:
        """Judge the model that the phase begins with: no epoch may be better than it."""
        self.state = judged(self._phase, self.state, figures)
        self.best = Snapshot.of(model).variables

    def go_on(self, resumed: TrainingSnapshot) -> None:
        """Go on where a training stopped."""
        self.state, self.best = resumed.state, resumed.best

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        if time.monotonic() - self._told >= 1:
            self._tell(self.state.epochs + 1, self.state.epochs + (batch + 1) / self._num_batches, _figures(logs))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        figures = _figures(logs)
        _require_finite(figures, epoch + 1)
        history = {name: [*self.state.history.get(name, []), value] for name, value in figures.items()}
        self.state = judged(
            self._phase, self.state.model_copy(update={"epochs": epoch + 1, "history": history}), figures
        )
        if self.state.best_epoch == self.state.epochs:
            self.best = self._as_measured()
        self.model.stop_training = self.state.is_over
        if self._on_checkpoint is not None:
            self._guarded(self._checkpoint)
        self._tell(self.state.epochs, self.state.epochs, figures)

    def _checkpoint(self) -> None:
        assert self._on_checkpoint is not None
        averages = self._averages()
        state = None if averages is None else averages.state()
        self._on_checkpoint(TrainingSnapshot(self.state, Snapshot.of(self.model), self.best, state))

    def _averages(self) -> Averages | None:
        return getattr(self.model, "averages", None)

    def _as_measured(self) -> list[np.ndarray]:
        """Return the variables that were measured: the averages, where weights are averaged."""
        averages = self._averages()
        if averages is None:
            return Snapshot.of(self.model).variables
        raw = averages.swap(averages.values())
        measured = Snapshot.of(self.model).variables
        averages.swap(raw)
        return measured

    def _tell(self, epoch: int, done: float, figures: dict[str, float]) -> None:
        self._told = time.monotonic()
        self._guarded(lambda: self._on_epoch(epoch, done / self._phase.num_epochs, figures))

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self.failure = error
            raise


def _figures(logs: Logs) -> dict[str, float]:
    """Return figures by name; those for each class as their mean."""
    return {name: float(np.mean(value)) for name, value in (logs or {}).items()}


def _require_finite(figures: dict[str, float], epoch: int) -> None:
    """Raise `TrainingError` if a loss is not finite; after the last step only that of the validation set shows it."""
    losses = {name: value for name, value in figures.items() if name in ("loss", "val_loss")}
    if not all(math.isfinite(loss) for loss in losses.values()):
        raise TrainingError(
            "The training loss became NaN or infinite.",
            field="training.learning_rate",
            received=f"{', '.join(f'{name} {loss}' for name, loss in losses.items())} in epoch {epoch}",
            expected="a finite loss",
            hint="Lower the learning rate, or check the scale of the inputs.",
        )
