"""Modules of objects, which Keras 2 named otherwise or not at all."""

from __future__ import annotations

from pruning.load.entries import Entry, layers_of, wrapped_by

_MODULES = {
    "engine.functional": "keras.src.models.functional",
    "engine.input_layer": "keras.layers",
    "engine.sequential": "keras.src.models.sequential",
    "engine.training": "keras.src.models.model",
}


def move_modules(entry: Entry) -> bool:
    module = entry.get("module")
    if not isinstance(module, str):
        return False
    parts = module.removeprefix("tf_").removeprefix("keras.").removeprefix("src.")
    entry["module"] = _MODULES.get(parts, module.removeprefix("tf_") if module.startswith("tf_keras") else module)
    return bool(entry["module"] != module)


def name_inner_modules(entry: Entry) -> bool:
    # Without a module Keras would also take Attention's score_mode "dot" for its function of that name.
    attention = [layer for layer in layers_of(entry) if layer["class_name"] in ("Attention", "AdditiveAttention")]
    inner = [layer for layer in [*wrapped_by(entry), *attention] if "module" not in layer]
    for layer in inner:
        name = layer["class_name"]
        layer["module"] = "keras" if name in ("Functional", "Model", "Sequential") else "keras.layers"
        if name in ("Functional", "Model"):
            layer["class_name"], layer["module"] = "Functional", "keras.src.models.functional"
    return bool(inner)
