"""Keras objects by name: losses, metrics and optimizers as a caller writes them down."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from pruning.errors import SpecError, first_line
from pruning.keras_model.compiled import own_name
from pruning.spec import KerasName, NamedOptions, TrainingSpec

_NOT_FOR_USE = ("Loss", "Metric", "Optimizer", "LossScaleOptimizer")


def wanted_loss(training: TrainingSpec) -> Any:
    """Return the wanted loss as a name or config, or by output; `None` if none is wanted.

    Raises:
        SpecError: Keras does not know the name; so for all three.
    """
    if isinstance(training.loss, dict):
        return {name: _resolve(each, keras.losses, "training.loss") for name, each in training.loss.items()}
    return None if training.loss is None else _resolve(training.loss, keras.losses, "training.loss")


def wanted_metrics(training: TrainingSpec) -> Any:
    """Return the wanted metrics as names and configs, or by output; `None` if none are wanted."""
    if isinstance(training.metrics, dict):
        return {name: _named(metrics) for name, metrics in training.metrics.items()}
    return None if training.metrics is None else _named(training.metrics)


def _named(metrics: Sequence[KerasName]) -> list[Any]:
    """Return metrics as names and configs. Each config says its name, which Keras would count up at every compile."""
    named, taken = [], Counter[str]()
    for metric in metrics:
        resolved = _resolve(metric, keras.metrics, "training.metrics")
        if isinstance(resolved, dict):
            name = own_name(built(resolved, "training.metrics"))
            resolved["config"].setdefault("name", f"{name}_{taken[name]}" if taken[name] else name)
            taken[name] += 1
        named.append(resolved)
    return named


def wanted_optimizer(training: TrainingSpec) -> Any:
    """Return the wanted optimizer as a config; `None` if none is wanted."""
    if training.optimizer is None:
        return None
    return _resolve(training.optimizer, keras.optimizers, "training.optimizer")


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
        return config_of(module.__name__.replace("._tf_keras", ""), classes[squashed], options)
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
        f"Keras has no {field.rpartition('.')[2]} {wanted!r}.",
        field=field,
        received=wanted,
        expected=f"one of {', '.join(known)}",
    )


def config_of(module: str, class_name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config from which `built` makes an object of Keras."""
    return {"module": module, "class_name": class_name, "config": dict(options), "registered_name": None}


def built(config: Any, field: str) -> Any:
    """Make Keras objects of configs; names, functions and objects stay as they are.

    Raises:
        SpecError: Keras refuses the options.
    """
    if isinstance(config, list):
        return [built(each, field) for each in config]
    if isinstance(config, dict) and "class_name" not in config:
        return {name: built(each, field) for name, each in config.items()}
    if not isinstance(config, dict):
        return config
    try:
        return keras.saving.deserialize_keras_object(config)
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise SpecError(
            f"Keras rejected the options: {first_line(error)}",
            field=field,
            received=f"{config['class_name']} with {', '.join(config['config']) or 'no options'}",
            expected="arguments of the constructor",
        ) from error


def loss_name(loss: Any) -> str:
    """Return the name of a loss in snake case, whether it is given by name, as a function, object or config."""
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return str(loss)
    name = str(loss.get("class_name", "")) if isinstance(loss, dict) else getattr(loss, "__name__", type(loss).__name__)
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() if name != name.lower() else name


def described(value: Any) -> Any:
    """Return what tells losses, their weights and optimizers apart, as JSON has it: class and options, but no names.

    Keras counts up the names of those that are given none, so that they tell how many there were before.
    """
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if hasattr(value, "get_config"):
        config = {name: option for name, option in value.get_config().items() if name != "name"}
        return {"class": type(value).__name__, **json.loads(json.dumps(config, default=str))}
    return value if isinstance(value, int | float | None) else loss_name(value)
