"""Calls of layers: the tensors that they take, named by layer, call and place."""

from __future__ import annotations

from typing import Any

from pruning.load.entries import Entry, layers_of, wrapped_by


def reference_by_keyword(entry: Entry) -> bool:
    """Write a call whose keyword arguments name tensors as Keras 3 does: it takes the old form's keywords as values."""
    changed = False
    for layer in layers_of(entry):
        nodes = layer.get("inbound_nodes")
        if not isinstance(nodes, list):
            continue
        for index, node in enumerate(nodes):
            last = node[-1] if isinstance(node, list) and node else None
            if not isinstance(last, list) or len(last) != 4 or not _references(last[3]):
                continue
            tensors = [_tensor(reference) for reference in node]
            keywords = {name: _tensor(value) if _references([value]) else value for name, value in last[3].items()}
            nodes[index] = {"args": tensors if len(tensors) == 1 else [tensors], "kwargs": keywords}
            changed = True
    return changed


def _tensor(reference: list[Any]) -> Entry:
    # Keras looks the tensor up by its history; of the shape it needs only that there is one.
    config = {"shape": [None], "dtype": "float32", "keras_history": reference[:3]}
    return {"class_name": "__keras_tensor__", "config": config}


def rename(entry: Entry) -> bool:
    config = entry["config"]
    if not isinstance(config, dict):
        return False
    taken = {str(layer["config"].get("name")) for layer in layers_of(entry) if isinstance(layer["config"], dict)}
    names: dict[str, str] = {}
    for layer in layers_of(entry):
        old = layer["config"].get("name")
        if isinstance(old, str) and "/" in old:
            new = old.replace("/", "_")
            while new in taken:
                new += "_"
            taken.add(new)
            names[old] = layer["config"]["name"] = new
            if "name" in layer:
                layer["name"] = new
    for layer in layers_of(entry) if names else ():
        _refer(layer.get("inbound_nodes"), names)
    if names:
        _refer([config.get("input_layers"), config.get("output_layers")], names)
    for inner in wrapped_by(entry):
        if "/" in str(inner["config"].get("name")):
            names["inner"] = inner["config"]["name"] = inner["config"]["name"].replace("/", "_")
    return bool(names)


def _refer(value: Any, names: dict[str, str]) -> None:
    for reference in _references(value):
        reference[0] = names.get(reference[0], reference[0])


def _references(value: Any) -> list[list[Any]]:
    """Return all `[layer name, node index, tensor index, ...]` in a part of a functional config."""
    found, stack = [], [value]
    while stack:
        item = stack.pop()
        if isinstance(item, list) and len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
            found.append(item)
            stack.extend(item[3:])
        elif isinstance(item, list | dict):
            stack.extend(item.values() if isinstance(item, dict) else item)
    return found


def unwrap_tensors(entry: Entry) -> bool:
    wrapped = False
    for model in [*layers_of(entry), *wrapped_by(entry)]:
        for key in ("input_layers", "output_layers"):
            ends = model["config"].get(key) if isinstance(model["config"], dict) else None
            if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
                model["config"][key] = ends[0]
                wrapped = True
    return wrapped


def lower_nodes(entry: Entry) -> bool:
    config, lowered = entry["config"], False
    models = {layer.get("name"): layer for layer in layers_of(entry) if "layers" in layer["config"]}
    if not models or "output_layers" not in config:
        return False
    inside = [node for layer in layers_of(entry) for node in _references(layer.get("inbound_nodes"))]
    outputs = _references(config["output_layers"])
    for name, model in models.items():
        num_calls = len(model.get("inbound_nodes") or ())
        uses, ends = ([node for node in nodes if node[0] == name] for nodes in (inside, outputs))
        # Keras 2 counted a node for the model itself. Keras 3 does not, but still takes one off an output's index
        # where the nested model is functional.
        extra = any(node[1] >= num_calls for node in uses + ends)
        functional = model["class_name"] != "Sequential"
        for node in uses if extra else ():
            node[1] -= 1
            lowered = True
        shift = functional - extra if num_calls > 1 or extra else 0
        for node in ends if shift else ():
            node[1] += shift
            lowered = True
    return lowered
