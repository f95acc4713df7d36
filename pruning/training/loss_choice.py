"""Which loss a model is trained with: the one asked for, its own, or one that the targets tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pruning.datasets.data import Data
from pruning.errors import SpecError
from pruning.keras_model.graph import last_layer, outputs_by_name
from pruning.keras_model.lost_loss import lost_loss
from pruning.spec import TrainingSpec
from pruning.training.keras_names import config_of, loss_name, wanted_loss
from pruning.training.unneeded_targets import own_losses

CROSSENTROPIES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")


class LossChoice:
    """Chooses a loss for a model.

    Args:
        model: The model as it came.
        note: Told what is assumed.
    """

    def __init__(self, model: keras.Model, note: Callable[[str], None]) -> None:
        self._model = model
        self._outputs = outputs_by_name(model)
        self._note = note

    def choose(self, training: TrainingSpec, compiled: Any, data: Data) -> Any:
        """Return the loss as a name, function, object or config, or by output; `None`: only what layers add.

        Args:
            training: What is asked for.
            compiled: The loss that the model was compiled with; `None` without.
            data: Data that fits the model.

        Raises:
            SpecError: Keras does not know the name, or there is no loss and the targets tell none.
        """
        wanted = wanted_loss(training)
        if wanted is None and compiled is not None:
            return self._for_each_output(compiled)
        if wanted is None:
            own = own_losses(self._model, data)
            if own and self._model.compiled:
                self._require_measurable(own, data)
                self._note(f"the loss is the sum of the losses that layers add: {', '.join(own)}")
                return None
            if own:
                raise self._two_meanings(own)
            wanted = self._inferred(data)
        return self._for_each_output(self._with_logits(wanted))

    def _require_measurable(self, own: list[str], data: Data) -> None:
        if not own_losses(self._model, data, training=False):
            raise SpecError(
                "The model is compiled without a loss, and its layers add losses only in training, so no loss can "
                "be evaluated.",
                field="training.loss",
                received=f"no loss except those of {', '.join(own)}",
                expected="another loss, or layers that also add their losses outside training",
            )

    def _two_meanings(self, own: list[str]) -> SpecError:
        return SpecError(
            f"{self._why().capitalize()}, but layers add losses. It is unclear whether these are all.",
            field="training.loss",
            received=f"no loss except those of {', '.join(own)}",
            expected="another loss, or a model compiled without a loss",
            hint="Set training.loss, or compile the model with only an optimizer.",
        )

    def _inferred(self, data: Data) -> Any:
        data.require_targets("Choosing a loss for a model that has none")
        names = list(self._outputs)
        target = next(iter(data.y_train.values()))
        shape = self._outputs[names[0]].shape
        are_labels = (
            target.dtype.kind in "iu" and target.size == len(target) and (shape[-1] != 1 or np.max(target) <= 1)
        )
        if len(names) == 1 and len(shape) == 2 and are_labels:
            kind = "binary_crossentropy" if shape[-1] == 1 else "sparse_categorical_crossentropy"
            self._note(f"training.loss is not set and {self._why()}: using {kind} for integer labels")
            return kind
        raise SpecError(
            f"There is no loss: {self._why()}, and training.loss is not set.",
            field="training.loss",
            received="nothing",
            expected="the name of a Keras loss, or one loss for each output",
            hint="Set training.loss, for example to 'mean_squared_error'.",
        )

    def _why(self) -> str:
        """Return why the model has no loss."""
        if self._model.compiled:
            return "the model is compiled without a loss and its layers add none"
        return lost_loss(self._model) or "the model is not compiled"

    def _for_each_output(self, loss: Any) -> Any:
        """Name the outputs that have no loss, too, where some are named: Keras asks for all."""
        if not isinstance(loss, dict) or "class_name" in loss or not set(loss) <= set(self._outputs):
            return loss
        return {name: loss.get(name) for name in self._outputs}

    def _with_logits(self, loss: Any) -> Any:
        """Give a cross-entropy that was asked for by name the right `from_logits`."""
        if isinstance(loss, dict) and "class_name" not in loss:
            return {name: self._logits_of(name, each) for name, each in loss.items()}
        return self._logits_of(next(iter(self._outputs)), loss) if len(self._outputs) == 1 else loss

    def _logits_of(self, output: str, loss: Any) -> Any:
        tensor = self._outputs.get(output)
        if not isinstance(loss, str) or loss_name(loss) not in CROSSENTROPIES or tensor is None:
            return loss
        operation = last_layer(tensor)
        activation = getattr(getattr(operation, "activation", None), "__name__", None)
        if activation in ("softmax", "sigmoid") or isinstance(operation, keras.layers.Softmax):
            return loss
        self._note(f"output {output} has no softmax or sigmoid: {loss} uses it as logits")
        class_name = "".join(word.capitalize() for word in loss_name(loss).split("_"))
        return config_of("keras.losses", class_name, {"from_logits": True})
