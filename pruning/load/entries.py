"""The objects of a saved config: models, layers, wrapped layers, initializers, each a dict of class name and config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Entry = dict[str, Any]
"""`{"class_name": str, "config": dict or list, ...}`, as Keras writes it."""

_INNER = ("layer", "backward_layer", "cell")


def walk(config: Any) -> Iterator[Entry]:
    """Yield every object of a config, outer ones first. What a caller changes in an object is walked as changed."""
    stack = [config]
    while stack:  # files nest deeper than Python recurses
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str) and isinstance(value.get("config"), dict | list):
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def layers_of(entry: Entry) -> list[Entry]:
    """Return the layers that a model's config lists, nothing for other objects."""
    config = entry["config"]
    listed = config.get("layers") if isinstance(config, dict) else config
    return [layer for layer in listed or () if is_entry(layer)] if isinstance(listed, list) else []


def wrapped_by(entry: Entry) -> list[Entry]:
    """Return the layers and cells inside a wrapper or recurrent layer."""
    config = entry["config"]
    return [config[key] for key in _INNER if is_entry(config.get(key))] if isinstance(config, dict) else []


def is_entry(value: Any) -> bool:
    """Tell whether a value is an object whose config is a dict or, in old files, a list."""
    return isinstance(value, dict) and "class_name" in value and isinstance(value.get("config"), dict | list)
