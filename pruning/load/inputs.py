"""Where a model's inputs begin: the config of a Sequential, and shapes that layers say they take."""

from __future__ import annotations

from typing import Any

from pruning.load.entries import Entry, layers_of


def wrap_list(entry: Entry) -> bool:
    if entry["class_name"] != "Sequential" or not isinstance(entry["config"], list):
        return False
    entry["config"] = {"name": entry.get("name") or "sequential", "layers": entry["config"]}
    return True


def insert_input(entry: Entry) -> bool:
    layers = layers_of(entry)
    if entry["class_name"] != "Sequential" or not layers or layers[0]["class_name"] == "InputLayer":
        return False
    shape, dtype = _input_of(layers[0])
    if shape is None:
        return False
    layers[0]["config"].pop("batch_input_shape", None)
    name = f"{layers[0]['config'].get('name') or 'first'}_input"
    config = {"batch_shape": shape, "dtype": dtype if isinstance(dtype, str) else "float32", "name": name}
    first: Entry = {"class_name": "InputLayer", "config": config}
    if "module" in layers[0]:
        first |= {"module": "keras.layers", "registered_name": None}
    entry["config"]["layers"].insert(0, first)
    return True


def _input_of(entry: Entry) -> tuple[Any, Any]:
    """Return the batch shape and dtype that a layer, or the first layer of a model, says it takes."""
    while True:
        config = entry["config"]
        shape = config.get("batch_input_shape", config.get("batch_shape")) if isinstance(config, dict) else None
        if shape is not None:
            return shape, config.get("dtype")
        inner = layers_of(entry)
        if not inner or sum(layer["class_name"] == "InputLayer" for layer in inner) > 1:
            return None, None
        entry = inner[0]


def drop_input_shape(entry: Entry) -> bool:
    # Without a module Keras reads the argument itself.
    if entry["class_name"] == "InputLayer" or "module" not in entry or "batch_input_shape" not in entry["config"]:
        return False
    del entry["config"]["batch_input_shape"]
    return True
