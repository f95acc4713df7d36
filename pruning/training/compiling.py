"""What to compile a model with: the caller's wishes over what it was compiled with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras.src.losses.losses import LossFunctionWrapper

from pruning.errors import DataError, SpecError, first_line
from pruning.graph.models import last_layer, outputs_by_name
from pruning.implicit_masks import mask_of
from pruning.spec import KerasName, NamedOptions, TrainingSpec
from pruning.surgery.optimizer_state import carry_exclusions, carry_over, has_state
from pruning.surgery.rebuild import fresh, fresh_compile_arguments
from pruning.training.data import Data

_DEFAULT_LEARNING_RATE = 1e-3
_CROSSENTROPY = ("sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy")

_NOT_FOR_USE = ("Loss", "Metric", "Optimizer", "LossScaleOptimizer")

_ENTRYWISE = ("categorical_crossentropy", "mean_squared_error", "mean_absolute_error")
"""Losses that compare targets and outputs entry by entry."""


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
        self._training = training
        self._outputs = outputs_by_name(model)
        self._check_names(training.loss, "training.loss")
        self._check_names(training.metrics, "training.metrics")
        # Taken once: the model itself is compiled in other ways later.
        self._as_it_came = fresh_compile_arguments(model) if model.compiled else {}
        self._delivers_state = model.compiled and has_state(model.optimizer)
        loss = _loss(training)
        loss = self._as_it_came.get("loss") if loss is None else self._with_logits(loss)
        if loss is None:
            loss = self._with_logits(self._infer_loss(data))
        self._loss = loss
        self.learning_rate = training.learning_rate or _rate_of(self._arguments()["optimizer"])

    def compile(self, model: keras.Model, optimizer: Any = None, variables: Any = None) -> None:
        """Compile a model for this job, with the job's learning rate.

        Args:
            model: Compiled in place.
            optimizer: Where the new optimizer goes on, if it is of the same class; default: the model's own.
            variables: Variables of the model that it trained, in the order of this one's; default: this one's.

        Raises:
            SpecError: Keras does not know a name, or refuses an option.
        """
        arguments = self._arguments()
        arguments["optimizer"] = _with_rate(arguments["optimizer"], self.learning_rate)
        # XLA halves the training speed of small networks on a CPU with TensorFlow.
        arguments |= {"jit_compile": keras.backend.backend() != "tensorflow", "run_eagerly": False}
        before = _optimizer_of(model) if optimizer is None else optimizer
        _compile(model, arguments)
        pairs = list(zip(model.variables if variables is None else variables, model.variables, strict=True))
        carry_exclusions(before, model.optimizer, pairs)
        if has_state(before):
            # On JAX evaluating builds the optimizer, for layers that the training may freeze, and then refuses.
            carry_over(before, model.optimizer, pairs)

    def compile_for_delivery(self, model: keras.Model) -> None:
        """Compile a model with the caller's own execution options and learning rate.

        Its optimizer has a state if that of the model of this job came with one.
        """
        before = _optimizer_of(model)
        _compile(model, self._arguments())
        pairs = [(variable, variable) for variable in model.variables]
        carry_exclusions(before, model.optimizer, pairs)
        if self._delivers_state:
            carry_over(before, model.optimizer, pairs)

    def sample_losses(self) -> Callable[[list[Any], list[Any]], Any]:
        """Return the loss of each sample by itself, as a function.

        Returns:
            `(targets, outputs) -> losses` on Keras tensors: batches in the order of the model's outputs, targets in
            the form that `fit_targets` gives, and behind them, for each output with a mask, what its entries
            count; losses of shape `(num_samples,)`, summed over the outputs by their weights. What a mask takes
            away does not count.
        """
        losses = [each and _loss_object(each) for each in self._by_output(_built(self._loss, "training.loss"), None)]
        weights = self._by_output(self._arguments().get("loss_weights"), 1.0)
        masked = [index for index, tensor in enumerate(self._outputs.values()) if mask_of(tensor) is not None]

        def compute(targets: list[Any], outputs: list[Any]) -> Any:
            masks = dict(zip(masked, targets[len(outputs) :], strict=True))
            return sum(
                weight * _sample_loss(loss, target, output, masks.get(index))
                for index, (loss, weight, target, output) in enumerate(
                    zip(losses, weights, targets[: len(outputs)], outputs, strict=True)
                )
                if loss is not None
            )

        return compute

    def _by_output(self, values: Any, missing: Any) -> list[Any]:
        """Return one value for each output of what Keras takes: one for all, a list, or some by name."""
        if isinstance(values, Mapping):
            return [values.get(name, missing) for name in self._outputs]
        if isinstance(values, list | tuple):
            return [missing if value is None else value for value in values]
        return [missing if values is None else values] * len(self._outputs)

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments of `compile`, with everything that has a state made afresh."""
        arguments = fresh(self._as_it_came) if self._as_it_came else {}
        arguments["loss"] = _built(self._loss, "training.loss")
        if self._training.loss is not None:
            arguments["loss_weights"] = None
        metrics = _metrics(self._training)
        if metrics is None and arguments.get("metrics") is None:
            metrics = ["accuracy"] if _loss_name(self._loss) in _CROSSENTROPY else []
        if metrics is not None:
            arguments["metrics"] = _built(metrics, "training.metrics")
        optimizer = _optimizer(self._training)
        if optimizer is not None:
            arguments["optimizer"] = _built(optimizer, "training.optimizer")
        arguments["optimizer"] = keras.optimizers.get(arguments.get("optimizer", "adam"))
        return arguments

    def _check_names(self, wishes: Any, field: str) -> None:
        unknown = set(wishes) - set(self._outputs) if isinstance(wishes, dict) else set()
        if unknown:
            raise SpecError(
                "A name is that of no output of the model.",
                field=field,
                received=", ".join(sorted(unknown)),
                expected=f"some of {', '.join(self._outputs)}",
            )

    def fit_targets(self, data: Data) -> Data:
        """Return the data with targets in the form that the loss takes, after checking labels.

        Raises:
            DataError: Labels lie outside the model's outputs, or targets have the wrong shape.
        """
        return Data(
            data.x_train,
            {name: self._fit_target(name, y, "y_train") for name, y in data.y_train.items()},
            data.x_val,
            {name: self._fit_target(name, y, "y_val") for name, y in data.y_val.items()},
        )

    def _fit_target(self, name: str, target: np.ndarray, split: str) -> np.ndarray:
        loss = self._loss.get(name) if isinstance(self._loss, dict) and name in self._loss else self._loss
        kind = _loss_name(loss)
        shape = tuple(self._outputs[name].shape[1:])
        field = f"dataset.{split}" + (f".{name}" if len(self._outputs) > 1 else "")
        if not shape or shape[-1] is None:
            return target
        if kind == "sparse_categorical_crossentropy":
            _check_labels(target[target != _ignored_class(loss)], shape[-1], field)
        elif kind == "categorical_crossentropy" and _holds_labels(target, shape):
            _check_labels(target, shape[-1], field)
            self._note(f"the labels of {name} were one-hot encoded for {kind}")
            return np.eye(shape[-1], dtype=np.float32)[target.reshape(-1).astype(np.int64)]
        elif kind == "binary_crossentropy" and (target.min() < 0 or target.max() > 1):
            raise DataError(
                "The targets of binary_crossentropy are no probabilities.",
                field=field,
                received=f"numbers from {target.min()} to {target.max()}",
                expected="numbers from 0 to 1",
            )
        elif kind in _ENTRYWISE and not _matches(target, shape):
            raise DataError(
                f"The targets do not fit output {name!r}.",
                field=field,
                received=f"targets of shape {target.shape[1:]}",
                expected=f"targets of shape {shape}",
            )
        return target

    def _infer_loss(self, data: Data) -> Any:
        names = list(self._outputs)
        target: np.ndarray = next(iter(data.y_train.values()))
        shape = self._outputs[names[0]].shape
        are_labels = target.dtype.kind in "iu" and target.size == len(target) and (shape[-1] != 1 or target.max() <= 1)
        if len(names) == 1 and len(shape) == 2 and are_labels:
            kind = "binary_crossentropy" if shape[-1] == 1 else "sparse_categorical_crossentropy"
            self._note(f"no loss was given and the model is not compiled: {kind} for integer labels")
            return kind
        raise SpecError(
            "There is no loss: the model is not compiled and none was given.",
            field="training.loss",
            received="nothing",
            expected="the name of a Keras loss, or one for each output",
            hint="Set training.loss, for example to 'mean_squared_error'.",
        )

    def _with_logits(self, loss: Any) -> Any:
        """Give a cross-entropy that was asked for by name the right `from_logits`."""
        if isinstance(loss, dict) and "class_name" not in loss:
            return {name: self._logits_of(name, each) for name, each in loss.items()}
        return self._logits_of(next(iter(self._outputs)), loss) if len(self._outputs) == 1 else loss

    def _logits_of(self, output: str, loss: Any) -> Any:
        tensor = self._outputs.get(output)
        if not isinstance(loss, str) or _loss_name(loss) not in _CROSSENTROPY or tensor is None:
            return loss
        operation = last_layer(tensor)
        activation = getattr(getattr(operation, "activation", None), "__name__", None)
        if activation in ("softmax", "sigmoid") or isinstance(operation, keras.layers.Softmax):
            return loss
        self._note(f"output {output} has no softmax or sigmoid: {loss} takes it as logits")
        class_name = "".join(word.capitalize() for word in _loss_name(loss).split("_"))
        return _object("keras.losses", class_name, {"from_logits": True})

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _loss_object(loss: Any) -> keras.Loss:
    loss = keras.losses.get(loss)
    return loss if isinstance(loss, keras.Loss) else LossFunctionWrapper(loss)


def _sample_loss(loss: keras.Loss, target: Any, output: Any, mask: Any) -> Any:
    # A new tensor: TensorFlow would look for the logits behind it and, unlike other backends, clip no probability.
    output = 1.0 * keras.ops.cast(output, "float32")
    values = loss.call(keras.ops.cast(target, "float32"), output)
    if len(values.shape) == 0:
        raise SpecError(
            "The loss has one value for a whole batch, where one for each sample is needed.",
            field="training.loss",
            received=str(_loss_name(loss)),
            expected="a loss that returns an array whose first axis counts samples",
        )
    if mask is not None:
        counted = keras.ops.cast(mask > 0 if loss.reduction == "sum" else mask, values.dtype)
        values = values * keras.ops.reshape(
            counted, tuple(counted.shape) + (1,) * (len(values.shape) - len(mask.shape))
        )
    flat = keras.ops.reshape(values, (keras.ops.shape(values)[0], -1))
    return keras.ops.sum(flat, axis=1) if loss.reduction == "sum" else keras.ops.mean(flat, axis=1)


def _built(config: Any, field: str) -> Any:
    """Make Keras objects of configs; names, functions and objects stay as they are."""
    if isinstance(config, list):
        return [_built(each, field) for each in config]
    if isinstance(config, dict) and "class_name" not in config:
        return {name: _built(each, field) for name, each in config.items()}
    if not isinstance(config, dict):
        return config
    try:
        return keras.saving.deserialize_keras_object(config)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise SpecError(
            f"Keras refuses the options: {first_line(error)}",
            field=field,
            received=f"{config['class_name']} with {', '.join(config['config']) or 'no options'}",
            expected="the constructor's own arguments",
        ) from error


def _object(module: str, class_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": dict(options), "registered_name": None}


def _resolve(name: KerasName, module: Any, field: str) -> Any:
    """Return a Keras object's config by name; classes and function names are both taken."""
    options = name.options if isinstance(name, NamedOptions) else {}
    wanted = name.name if isinstance(name, NamedOptions) else name
    squashed = wanted.replace("_", "").lower()
    classes = {
        attribute.lower(): attribute
        for attribute in dir(module)
        if isinstance(getattr(module, attribute), type) and attribute not in _NOT_FOR_USE
    }
    by_class = options or module is keras.optimizers or wanted in classes.values()
    if squashed in classes and by_class:
        return _object(module.__name__.replace("._tf_keras", ""), classes[squashed], options)
    if not options and wanted not in _NOT_FOR_USE:
        try:
            module.get(wanted)
        except (TypeError, ValueError):
            pass
        else:
            return wanted
        if wanted in ("accuracy", "acc", "crossentropy", "ce"):
            return wanted
    known = sorted(classes[key] for key in classes if not classes[key].startswith("_"))
    raise SpecError(
        f"{field.rpartition('.')[2]} {wanted!r} is not known to Keras.",
        field=field,
        received=wanted,
        expected=f"one of {', '.join(known)}",
    )


def _loss(training: TrainingSpec) -> Any:
    if isinstance(training.loss, dict):
        return {name: _resolve(each, keras.losses, "training.loss") for name, each in training.loss.items()}
    return None if training.loss is None else _resolve(training.loss, keras.losses, "training.loss")


def _metrics(training: TrainingSpec) -> Any:
    if isinstance(training.metrics, dict):
        return {
            name: [_resolve(each, keras.metrics, "training.metrics") for each in metrics]
            for name, metrics in training.metrics.items()
        }
    if training.metrics is None:
        return None
    return [_resolve(each, keras.metrics, "training.metrics") for each in training.metrics]


def _optimizer(training: TrainingSpec) -> Any:
    if training.optimizer is None:
        return None
    return _resolve(training.optimizer, keras.optimizers, "training.optimizer")


def _loss_name(loss: Any) -> str:
    """Return the name of a loss in snake case, whether it is given by name, as a function, object or config."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return str(loss)
    name = str(loss.get("class_name", "")) if isinstance(loss, dict) else getattr(loss, "__name__", type(loss).__name__)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() if name != name.lower() else name


def _compile(model: keras.Model, arguments: dict[str, Any]) -> None:
    try:
        model.compile(**arguments)
    except (TypeError, ValueError) as error:
        raise SpecError(f"Keras refuses the training options: {first_line(error)}", field="training") from error


def _optimizer_of(model: keras.Model) -> Any:
    return model.optimizer if model.compiled else None


def _rate_of(optimizer: Any) -> float:
    """Return the learning rate of an optimizer; with a schedule, the rate that it starts from or warms up to."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    rate = optimizer.get_config().get("learning_rate", _DEFAULT_LEARNING_RATE)
    if isinstance(rate, dict):
        schedule = rate.get("config", {})
        rate = schedule.get("warmup_target") or schedule.get("initial_learning_rate", _DEFAULT_LEARNING_RATE)
    return float(rate)


def _with_rate(optimizer: Any, rate: float) -> Any:
    """Give an optimizer a learning rate that can be set; one with a schedule is made anew."""
    if hasattr(optimizer, "inner_optimizer"):
        optimizer.inner_optimizer = _with_rate(optimizer.inner_optimizer, rate)
        return optimizer
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        raise SpecError(
            "An optimizer that is made of several cannot follow one learning rate.",
            field="training.optimizer",
            received="MultiOptimizer",
            expected="an optimizer with one learning rate",
            hint="Set training.optimizer, for example to 'adamw'.",
        )
    return type(optimizer).from_config({**optimizer.get_config(), "learning_rate": rate})


def _matches(target: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return None in shape or target.shape[1:] == shape or (target.ndim == 1 and shape == (1,))


def _holds_labels(target: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 1 and target.size == len(target) and shape[0] != 1


def _ignored_class(loss: Any) -> int | None:
    options = loss.get("config") if isinstance(loss, dict) else vars(loss) if hasattr(loss, "__dict__") else None
    return options.get("ignore_class") if isinstance(options, dict) else None


def _check_labels(target: np.ndarray, num_classes: int, field: str) -> None:
    if target.size == 0:
        return
    low, high = target.min(), target.max()
    if low < 0 or high >= num_classes or (target.dtype.kind == "f" and np.any(target != np.floor(target))):
        raise DataError(
            "Labels lie outside the model's outputs.",
            field=field,
            received=f"labels from {low} to {high}",
            expected=f"whole numbers from 0 to {num_classes - 1}",
            hint="Number the classes from 0, or give the model as many outputs as there are classes.",
        )
