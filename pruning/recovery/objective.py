"""A model under training that is to do more than to lower its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras

from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.functional_class import has_own_config
from pruning.keras_model.graph import Functional, structures, unpack_singleton
from pruning.keras_model.tensors import BackendTensor
from pruning.recovery.averaging import Averages, Averaging
from pruning.recovery.distillation import Teaching
from pruning.recovery.sparsity import Penalty
from pruning.spec import Augmentation, TrainingSpec
from pruning.training.compiling import Compiling

_OPTIONS = ("distillation", "sparsity", "ema")
_STEPS = ("train_step", "compute_loss")


@dataclass(frozen=True)
class Aims:
    """What a phase of training has at hand besides the data.

    Attributes:
        teacher: The model before the first prune; `None` until then. It is not changed.
        augmentation: Random changes to images, in place of those that the spec asks for.
        sparse_groups: Names of the channel groups that will lose channels; empty where they have lost some.
    """

    teacher: keras.Model | None = None
    augmentation: Augmentation | None = None
    sparse_groups: tuple[str, ...] = ()


class Objective(Functional):
    """A model with the layers and variables of another one, whose training step does more.

    Outside training it computes and measures what the other one does. It is never saved: the other model, whose
    variables it trains, is what is delivered.

    Args:
        student: The model to train.
        teaching: What a teacher adds to the loss.
        penalty: What the weights add to the loss.
        averages: Averages over the steps; those are measured after each epoch and are there in the end.

    Attributes:
        averages: As given. Their `state` is needed to go on with a training that was interrupted.
    """

    def __init__(
        self,
        student: keras.Model,
        teaching: Teaching | None = None,
        penalty: Penalty | None = None,
        averages: Averages | None = None,
    ) -> None:
        super().__init__(*structures(student), name=student.name)
        self.averages = averages
        self._teaching, self._penalty = teaching, penalty
        self._features: tuple[BackendTensor, ...] = ()

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """Those of the model, and what the training step reads or changes beside them.

        JAX takes what is not among them for constants.
        """
        own: list[keras.Variable] = super().non_trainable_variables
        kept = [] if self.averages is None else self.averages.variables
        return [*own, *kept, *([] if self._teaching is None else self._teaching.teacher.variables)]

    def call(self, inputs: object, training: bool | None = None, mask: object = None, **kwargs: object) -> object:
        """Run the layers; in training, features that the teacher is asked about are set aside."""
        if not training or self._teaching is None or self._teaching.tapped is None:
            return super().call(inputs, training=training, mask=mask, **kwargs)
        outputs, features = self._teaching.tapped.call(inputs, training=training, mask=mask, **kwargs)
        self._features = tuple(features)
        return unpack_singleton(outputs)

    def compute_loss(
        self,
        x: object = None,
        y: object = None,
        y_pred: object = None,
        sample_weight: object = None,
        training: bool = True,
    ) -> BackendTensor:
        """Return the loss; in training with what teacher and penalty add, and with one more step averaged."""
        loss = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if not training:
            return loss
        if self._teaching is not None:
            features, self._features = self._features, ()
            loss = self._teaching.loss(
                loss, sum(map(self._aggregate_additional_loss, self.losses)), x, y_pred, sample_weight, features
            )
        if self._penalty is not None:
            loss += self._penalty.value()
        if self.averages is not None:
            self.averages.update()
        return loss

    def fit(
        self, *args: object, callbacks: Sequence[keras.callbacks.Callback] = (), **kwargs: object
    ) -> keras.callbacks.History:
        """Train as Keras does, and measure and leave behind the averages, if there are any."""
        own = [] if self.averages is None else [Averaging(self.averages)]
        return super().fit(*args, callbacks=[*own, *callbacks], **kwargs)


def with_objective(model: keras.Model, training: TrainingSpec, compiling: Compiling, aims: Aims) -> keras.Model:
    """Return a model that trains another one's variables for all that is asked; the other one if it is only the loss.

    Args:
        model: The model to train; compiled or not.
        training: What is asked.
        compiling: What to compile with.
        aims: What is at hand in this phase.

    Raises:
        SpecError: Sparsity is asked for, and no weight has to do with it.
    """
    distillation, sparsity = training.distillation, training.sparsity
    teaching = penalty = averages = None
    if distillation is not None and aims.teacher is not None:
        teaching = Teaching.of(model, aims.teacher, distillation, compiling)
    if sparsity is not None and aims.sparse_groups:
        penalty = Penalty.of(ChannelGraph(model), aims.sparse_groups, sparsity)
    if training.ema is not None:
        averages = Averages(model, training.ema)
    if teaching is None and penalty is None and averages is None:
        return model
    objective = Objective(model, teaching, penalty, averages)
    compiling.compile(objective, model.optimizer if model.compiled else None, model.variables)
    return objective


def check_objective(model: keras.Model, training: TrainingSpec, *, has_data: bool) -> None:
    """Check that what is asked besides the loss can be done.

    Raises:
        SpecError: There is no data to become sparse on, or the model has a training step of its own.
    """
    if training.sparsity is not None and not has_data:
        raise SpecError(
            "Weights become sparse by training, and there is no data.",
            field="training.sparsity",
            received=training.sparsity.kind,
            expected="data to train on, or no sparsity",
            hint="Give data, or leave training.sparsity out.",
        )
    asked = [option for option in _OPTIONS if getattr(training, option) is not None]
    own = [name for name in _STEPS if getattr(type(model), name) is not getattr(keras.Model, name)]
    if own and has_data and has_own_config(model):
        raise SpecError(
            "The class of the model makes its layers by itself, so a smaller one cannot have its training step.",
            field="model",
            received=f"{type(model).__name__} with a {' and '.join(own)} and a config of its own",
            expected="a class without either, or no data",
            hint="Prune without data and train the result yourself, or give keras.Model(inputs, outputs).",
        )
    if asked and own and has_data:
        raise SpecError(
            "The model has a training step or loss of its own, to which nothing can be added.",
            field=f"training.{asked[0]}",
            received=f"{type(model).__name__} with {' and '.join(own)}",
            expected=f"a model without, or no {' and '.join(asked)}",
            hint="Rebuild the model as keras.Model(inputs, outputs).",
        )
