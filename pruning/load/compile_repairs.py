"""Optimizers, losses and metrics as Keras 2 saved them, brought to the form of Keras 3."""

from __future__ import annotations

import inspect

import keras

from pruning.load.entries import Entry

OPTIMIZERS = ("SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam", "Ftrl", "Lion")
_COMPILING = ("jit_compile", "run_eagerly", "steps_per_execution")
_REGISTERED = "Custom>"
_FUNCTION = "MeanMetricWrapper"


def drop_unset_compiling(entry: Entry) -> bool:
    settings = entry.get("compile_config")
    if not isinstance(settings, dict):
        return False
    unset = [name for name in _COMPILING if name in settings and settings[name] is None]
    for name in unset:
        del settings[name]
    return bool(unset)


def name_optimizer(entry: Entry) -> bool:
    """Take off what Keras 2.11 and later put before the names of its own optimizers."""
    name = entry["class_name"].removeprefix(_REGISTERED)
    is_registered = name in OPTIMIZERS and name != entry["class_name"]
    if is_registered:
        entry["class_name"] = name
    return is_registered


def rename_rate(entry: Entry) -> bool:
    if entry["class_name"] not in OPTIMIZERS or "lr" not in entry["config"]:
        return False
    rate = entry["config"].pop("lr")
    entry["config"].setdefault("learning_rate", rate)
    return True


def turn_decay(entry: Entry) -> bool:
    """Make a schedule of `decay`, by which Keras 2 divided the learning rate of a step: `1 + decay * step`."""
    config = entry["config"]
    if entry["class_name"] not in OPTIMIZERS or "decay" not in config:
        return False
    decay, rate = config.pop("decay"), config.get("learning_rate")
    if decay and isinstance(rate, float | int):
        options = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        module = "keras.optimizers.schedules"
        config["learning_rate"] = {
            "module": module, "class_name": "InverseTimeDecay", "config": options, "registered_name": None,
        }  # fmt: skip
    return True


def drop_schedule_name(entry: Entry) -> bool:
    if not hasattr(keras.optimizers.schedules, entry["class_name"]) or entry["config"].get("name", "") is not None:
        return False
    del entry["config"]["name"]
    return True


def name_reduction(entry: Entry) -> bool:
    if not _is_loss(entry) or entry["config"]["reduction"] != "auto":
        return False
    entry["config"]["reduction"] = "sum_over_batch_size"
    return True


def drop_loss_arguments(entry: Entry) -> bool:
    if not _is_loss(entry):
        return False
    config = entry["config"]
    taken = inspect.signature(getattr(keras.losses, entry["class_name"])).parameters
    stray = [name for name in ("fn", "axis") if name in config and name not in taken]
    for name in stray:
        del config[name]
    return bool(stray)


def _is_loss(entry: Entry) -> bool:
    # Some metrics have the names of losses; they have no reduction.
    loss = getattr(keras.losses, entry["class_name"], None)
    is_class = isinstance(loss, type) and issubclass(loss, keras.Loss)
    return is_class and isinstance(entry["config"], dict) and "reduction" in entry["config"]


def name_metric_class(entry: Entry) -> bool:
    """Name the class of a metric that Keras 2 saved as a function, by its name; its own name stays."""
    config = entry["config"]
    function = config.get("fn") if isinstance(config, dict) else None
    if entry["class_name"] != _FUNCTION or not isinstance(function, str):
        return False
    try:
        metric = keras.metrics.get(function)
    except ValueError:  # one of the user's own
        return False
    if not isinstance(metric, keras.Metric):
        return False
    del config["fn"]
    entry["class_name"] = type(metric).__name__
    entry.update({"registered_name": None} if "registered_name" in entry else {})
    return True


def drop_output_names(entry: Entry) -> bool:
    """Take the names of outputs off the names of their metrics: Keras 3 puts them there itself."""
    settings, config = entry.get("compile_config"), entry["config"]
    outputs = config.get("output_layers") if isinstance(config, dict) else None
    if not isinstance(settings, dict) or not isinstance(outputs, list):
        return False
    named = [
        (metric["config"], f"{output[0]}_")
        for field in ("metrics", "weighted_metrics")
        for output, metrics in zip(outputs, settings.get(field) or (), strict=False)
        if isinstance(output, list) and isinstance(metrics, list) and len(outputs) > 1
        for metric in metrics
        if isinstance(metric, dict) and isinstance(metric.get("config"), dict)
    ]
    stray = [(options, prefix) for options, prefix in named if str(options.get("name")).startswith(prefix)]
    for options, prefix in stray:
        options["name"] = options["name"].removeprefix(prefix)
    return bool(stray)
