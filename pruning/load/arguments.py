"""Arguments of layers and initializers that Keras 3 does not take, or takes in another form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from pruning.load.entries import Entry, is_entry


def unwrap_axis(entry: Entry) -> bool:
    if entry["class_name"] != "BatchNormalization" or "module" not in entry:
        return False
    match entry["config"].get("axis"):
        case [int(axis)]:
            entry["config"]["axis"] = axis
            return True
    return False


def dropping(classes: tuple[str, ...], **arguments: Any) -> Callable[[Entry], bool]:
    """Make a repair that drops arguments where they have the given value; `...` stands for any."""

    def mend(entry: Entry) -> bool:
        if entry["class_name"] not in classes:
            return False
        config = entry["config"]
        stray = [name for name, value in arguments.items() if name in config and value in (..., config[name])]
        for name in stray:
            del config[name]
        return bool(stray)

    return mend


def drop_attention_shapes(entry: Entry) -> bool:
    if entry["class_name"] != "MultiHeadAttention":
        return False
    drop = dropping(
        ("MultiHeadAttention",), query_shape=..., key_shape=..., value_shape=..., softmax_robust_masking=False
    )
    # Its build_config knows only one of the shapes that the layer needs; the call builds it.
    return drop(entry) | (entry.pop("build_config", None) is not None)


def drop_initializer_dtype(entry: Entry) -> bool:
    stray = [value["config"] for _, value in _initializers(entry) if is_entry(value) and "dtype" in value["config"]]
    for config in stray:
        del config["dtype"]
    return bool(stray)


def drop_unknown_initializers(entry: Entry) -> bool:
    unknown = [
        key
        for key, value in _initializers(entry)
        if (name := value["class_name"] if is_entry(value) else value) and not _known(str(name))
    ]
    for key in unknown:
        del entry["config"][key]
    return bool(unknown)


def _known(name: str) -> bool:
    return hasattr(keras.initializers, name) or name in ("normal", "uniform", "zero", "one")


def _initializers(entry: Entry) -> list[tuple[str, Any]]:
    config = entry["config"]
    if not isinstance(config, dict):
        return []
    return [
        (key, value)
        for key, value in config.items()
        if key.endswith("_initializer") and (is_entry(value) or isinstance(value, str))
    ]
