"""Models that take batches of one size alone, such as recurrent ones that keep their states from batch to batch."""

from __future__ import annotations

from typing import Any

import keras

from pruning.keras_model.graph import fixed_batch_size
from pruning.keras_model.parts import stateful_layers
from pruning.spec import TrainingSpec


def in_fixed_batches(model: keras.Model, training: TrainingSpec) -> tuple[TrainingSpec, tuple[str, ...]]:
    """Return how to train a model in batches of the size that it takes, with lines for the report.

    Args:
        model: One that takes batches of any size is trained as the spec says.
        training: The caller's wishes.
    """
    size = fixed_batch_size(model)
    if size is None:
        return training, ()
    notes = [
        f"the model takes batches of {size}: the last batch of each epoch is filled with samples from its "
        "beginning, so that no sample is skipped"
    ]
    if training.batch_size != size:
        notes.append(f"batch_size {training.batch_size} was replaced by the model's fixed batch size, {size}")
    if stateful_layers(model):
        notes.append("the model has stateful layers: samples are not shuffled, and states are reset for each epoch")
    return training.model_copy(update={"batch_size": size}), tuple(notes)


class States(keras.callbacks.Callback):
    """Lets states begin anew with each pass over the data, so that a measurement depends on nothing before it."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._reset()

    def on_test_begin(self, logs: Any = None) -> None:
        self._reset()

    def _reset(self) -> None:
        for layer in stateful_layers(self.model):
            layer.reset_state()
