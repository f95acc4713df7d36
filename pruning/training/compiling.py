"""What to compile a model with: the caller's wishes over what it was compiled with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary, ref

import keras
import numpy as np

from pruning.datasets.data import Data
from pruning.datasets.rows import Samples
from pruning.errors import SpecError, first_line
from pruning.keras_model.compiled import compiled_as, fresh, fresh_compile_arguments
from pruning.keras_model.graph import outputs_by_name
from pruning.keras_model.learning_rate import require_config, schedule_of
from pruning.keras_model.optimizer_state import go_on, has_state
from pruning.keras_model.parts import layers_inside
from pruning.spec import TrainingSpec
from pruning.training.augmentation import moving_targets
from pruning.training.keras_names import (
    built,
    described,
    loss_name,
    wanted_metrics,
    wanted_optimizer,
)
from pruning.training.learning_rate import rate_of, with_rate
from pruning.training.loss_choice import CROSSENTROPIES, LossChoice
from pruning.training.mixup import require_mixable
from pruning.training.sample_losses import summed_losses
from pruning.training.sample_weights import class_labels, class_weighted, no_classes
from pruning.training.soft_labels import LabelSmoothing, of_probabilities
from pruning.training.targets import fit_target


class Compiling:
    """Compile settings of one job, applied afresh to each model on the way.

    Args:
        model: The model as it came; what it was compiled with is the default.
        training: The caller's wishes.
        data: Data that fits the model.

    Attributes:
        learning_rate: Peak learning rate of each phase.
        notes: What was assumed, for the report.

    Raises:
        SpecError: A name is unknown to Keras, or there is no loss and none can be inferred.
    """

    def __init__(self, model: keras.Model, training: TrainingSpec, data: Data) -> None:
        self.notes: list[str] = []
        self._compiled: WeakKeyDictionary[keras.Model, tuple[Any, list[bool]]] = WeakKeyDictionary()
        self._training = training
        self._outputs = outputs_by_name(model)
        self._check_names(training.loss, "training.loss")
        self._check_names(training.metrics, "training.metrics")
        # Taken once: the model itself is compiled in other ways later.
        self._as_it_came = fresh_compile_arguments(model) if model.compiled else {}
        self._delivers_state = model.compiled and has_state(model.optimizer)
        loss = LossChoice(model, self._note).choose(training, self._as_it_came.get("loss"), data)
        self._delivered_loss = loss
        self._is_soft = training.label_smoothing > 0 or training.known_augmentation.mixup > 0
        self._loss = of_probabilities(loss, keras.losses) if self._is_soft else loss
        require_config(self._arguments()["optimizer"])
        self.learning_rate = training.learning_rate or self._own_rate()

    @property
    def described(self) -> dict[str, Any]:
        """What models are compiled with, as JSON has it, but for the names that Keras counts up."""
        arguments = self._arguments()
        return {
            "loss": described(arguments["loss"]),
            "loss_weights": described(arguments.get("loss_weights")),
            "optimizer": described(arguments["optimizer"]),
        }

    def compile(
        self, model: keras.Model, optimizer: Any = None, variables: Any = None, *, to_train: bool = False
    ) -> None:
        """Compile a model for this job, with the job's learning rate.

        One that is compiled for this job already stays as it is: compiling it again would have Keras trace it again.

        Args:
            model: Compiled in place.
            optimizer: Where the new optimizer goes on, if it is of the same class; default: the model's own.
            variables: Variables of the model that it trained, in the order of this one's; default: this one's.
            to_train: Whether it is to train the layers that are trainable now, and no others; what is measured is the
                same either way.

        Raises:
            SpecError: Keras does not know a name, or refuses an option.
        """
        own, flags = self._compiled.get(model, (None, None))
        is_compiled = own is not None and own() is model.optimizer and (flags == _flags(model) or not to_train)
        if optimizer is None and is_compiled:
            return
        arguments = self._arguments()
        arguments["optimizer"] = with_rate(arguments["optimizer"], self.learning_rate)
        # XLA halves the training speed of small networks on a CPU with TensorFlow.
        arguments |= {"jit_compile": keras.backend.backend() != "tensorflow", "run_eagerly": False}
        before = _optimizer_of(model) if optimizer is None else optimizer
        _compile(model, arguments)
        go_on(before, model.optimizer, model.variables if variables is None else variables, model.variables)
        self._compiled[model] = ref(model.optimizer), _flags(model)

    def hand_over(self, trained: keras.Model, model: keras.Model) -> None:
        """Give a model that is compiled for this job the state of an optimizer that trained another one in its place.

        What measures the model stays, and need not be traced again.

        Args:
            trained: With variables in the order of the model's.
            model: Its optimizer is replaced.
        """
        optimizer = with_rate(self._arguments()["optimizer"], self.learning_rate)
        go_on(trained.optimizer, optimizer, trained.variables, model.variables)
        # A step that is traced already would go on with the optimizer of before.
        vars(model).update(optimizer=optimizer, train_function=None)
        self._compiled[model] = ref(optimizer), _flags(model)

    def compile_for_delivery(self, model: keras.Model) -> None:
        """Compile a model with the caller's own execution options and learning rate.

        Its optimizer has a state if that of the model of this job came with one.
        """
        before = _optimizer_of(model)
        _compile(model, self._arguments(for_delivery=True))
        go_on(before, model.optimizer, model.variables, model.variables, with_state=self._delivers_state)

    @contextmanager
    def as_delivered(self, model: keras.Model) -> Iterator[None]:
        """Let a model be saved for a while as if it were compiled for delivery; nothing is traced again."""
        stand_in = keras.Sequential()
        _compile(stand_in, self._arguments(for_delivery=True))
        with compiled_as(model, stand_in):
            yield

    def sample_losses(self) -> Callable[[list[Any], list[Any]], Any]:
        """Return the loss of each sample by itself, as a function.

        Returns:
            `(targets, outputs) -> losses` on Keras tensors: batches in the order of the model's outputs, targets in
            the form that `fit_targets` gives, and behind them, for each output with a mask, what its entries
            count; losses of shape `(num_samples,)`, summed over the outputs by their weights. What a mask takes
            away does not count.

        Raises:
            SpecError: No output has a loss.
        """
        losses = self.output_losses()
        if all(loss is None for loss, _ in losses):
            raise SpecError(
                "The loss is added by layers for a whole batch, but a loss for each sample is needed.",
                field="training.loss",
                received="no loss for an output",
                expected="a loss, or a criterion that does not need one, such as coupled_norm or reconstruction",
            )
        return summed_losses(losses, list(self._outputs.values()))

    def output_losses(self) -> list[tuple[Any, float]]:
        """Return the loss of each output, `None` where it has none, and what it counts, in the order of the outputs.

        A loss is a name, a function or an object, as Keras takes it.
        """
        losses = self._by_output(built(self._loss, "training.loss"), None)
        weights = self._by_output(self._arguments().get("loss_weights"), 1.0)
        return list(zip(losses, weights, strict=True))

    def _by_output(self, values: Any, missing: Any) -> list[Any]:
        """Return one value for each output of what Keras takes: one for all, a list, or some by name."""
        if isinstance(values, Mapping):
            return [values.get(name, missing) for name in self._outputs]
        if isinstance(values, list | tuple):
            return [missing if value is None else value for value in values]
        return [missing if values is None else values] * len(self._outputs)

    def _arguments(self, *, for_delivery: bool = False) -> dict[str, Any]:
        """Return the arguments of `compile`, with everything that has a state made afresh."""
        arguments = fresh(self._as_it_came) if self._as_it_came else {}
        arguments["loss"] = built(self._delivered_loss if for_delivery else self._loss, "training.loss")
        if self._training.loss is not None:
            arguments["loss_weights"] = None
        metrics = wanted_metrics(self._training)
        if metrics is None and arguments.get("metrics") is None:
            metrics = ["accuracy"] if loss_name(self._loss) in CROSSENTROPIES else []
        if metrics is not None:
            arguments["metrics"] = built(metrics, "training.metrics")
        for name in ("metrics", "weighted_metrics") if self._is_soft and not for_delivery else ():
            if arguments.get(name) is not None:
                arguments[name] = built(of_probabilities(arguments[name], keras.metrics), "training.metrics")
        optimizer = wanted_optimizer(self._training)
        if optimizer is not None:
            arguments["optimizer"] = built(optimizer, "training.optimizer")
        arguments["optimizer"] = keras.optimizers.get(arguments.get("optimizer", "adam"))
        if optimizer is not None or not self._as_it_came:
            # Keras counts optimizers; a file must not tell how many there were.
            arguments["optimizer"].name = type(arguments["optimizer"]).__name__.lower()
        return arguments

    def _own_rate(self) -> float:
        """Return the learning rate of the optimizer; a schedule's is told of, for the job has a schedule of its own."""
        optimizer = self._arguments()["optimizer"]
        rate, schedule = rate_of(optimizer), schedule_of(optimizer)
        if schedule is not None:
            name = getattr(schedule, "__name__", type(schedule).__name__)
            self._note(f"the learning rate is {rate:.6g}, the maximum of the compiled model's schedule {name}")
        return rate

    def _check_names(self, wishes: Any, field: str) -> None:
        unknown = set(wishes) - set(self._outputs) if isinstance(wishes, dict) else set()
        if unknown:
            raise SpecError(
                "A name is not an output of the model.",
                field=field,
                received=", ".join(sorted(unknown)),
                expected=f"names from {', '.join(self._outputs)}",
            )

    def fit_targets(self, data: Data) -> Data:
        """Return the data with targets in the form that the loss takes, after checking labels.

        Raises:
            DataError: There are no targets, labels lie outside the model's outputs, or targets have the wrong shape.
            SpecError: The augmentation does not suit the data.
        """
        data.require_targets("Training and measuring")
        moving_targets(data.x_train, data.y_train, self._training.known_augmentation)
        if self._training.label_smoothing and not self.label_smoothing():
            raise SpecError(
                "Label smoothing needs a classification output.",
                field="training.label_smoothing",
                received=f"{self._training.label_smoothing:g}",
                expected="an output with a categorical or binary cross-entropy, or 0",
            )
        fitted = replace(
            data,
            y_train={name: self._fit_target(name, y, "y_train") for name, y in data.y_train.items()},
            y_val={name: self._fit_target(name, y, "y_val") for name, y in data.y_val.items()},
            y_test={name: self._fit_target(name, y, "y_test") for name, y in data.y_test.items()},
        )
        if self._training.known_augmentation.mixup:
            classes = {name for name in fitted.y_train if loss_name(self._loss_of(name)) in CROSSENTROPIES}
            require_mixable(fitted.x_train, fitted.y_train, frozenset(classes))
        if self._training.class_weights is not None:
            self.sample_weights(fitted)
        return fitted

    def label_smoothing(self) -> dict[str, LabelSmoothing]:
        """Return how training targets are smoothed, by output; empty if not at all."""
        share, smoothing = self._training.label_smoothing, {}
        for name, tensor in self._outputs.items() if share else ():
            each = LabelSmoothing.of(share, self._loss_of(name), tuple(tensor.shape[1:]))
            if each is not None:
                smoothing[name] = each
        return smoothing

    def sample_weights(self, data: Data) -> dict[str, np.ndarray]:
        """Return what training samples count, one array for each output; empty if all count alike.

        Args:
            data: As `fit_targets` gives it.

        Raises:
            SpecError: The wanted class weights do not suit the outputs.
        """
        given, wish = data.sample_weight_train, self._training.class_weights
        ones = np.ones(data.num_train, np.float32)
        # As many axes as the loss of the output's entries has: Keras would take those of samples for those of entries.
        weights = {
            name: given.get(name, given.get("", ones)).astype(np.float32).reshape(-1, *[1] * (len(tensor.shape) - 2))
            for name, tensor in self._outputs.items()
        }
        if wish is None:
            return weights if given else {}
        labels = {name: class_labels(np.asarray(target), self._loss_of(name)) for name, target in data.y_train.items()}
        if all(each is None for each in labels.values()):
            raise no_classes()
        for name, own in labels.items():
            if own is not None:
                weighted = class_weighted(own, wish, max(2, self._outputs[name].shape[-1] or 2))
                weights[name] = weights[name] * weighted
        return weights

    def _loss_of(self, name: str) -> Any:
        """Return the loss of one output; `None` if it has none."""
        if isinstance(self._loss, list | tuple):
            return dict(zip(self._outputs, self._loss, strict=True))[name]
        is_by_output = isinstance(self._loss, dict) and "class_name" not in self._loss
        return self._loss.get(name) if is_by_output else self._loss

    def _fit_target(self, name: str, target: Samples, split: str) -> Samples:
        loss = self._loss_of(name)
        field = f"dataset.{split}" + (f".{name}" if len(self._outputs) > 1 else "")
        fitted = fit_target(target, tuple(self._outputs[name].shape[1:]), loss, name, field)
        if fitted is not target:
            self._note(f"the labels of {name} were one-hot encoded for {loss_name(loss)}")
        return fitted

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _compile(model: keras.Model, arguments: dict[str, Any]) -> None:
    try:
        model.compile(**arguments)
    except (TypeError, ValueError) as error:
        raise SpecError(f"Keras rejected the training options: {first_line(error)}", field="training") from error


def _flags(model: keras.Model) -> list[bool]:
    """Return what a model trains; layers without weights to train may still have statistics."""
    return [part.trainable for part in [model, *layers_inside(model), *model.variables]]


def _optimizer_of(model: keras.Model) -> Any:
    return model.optimizer if model.compiled else None
