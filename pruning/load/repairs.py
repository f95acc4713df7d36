"""What has to change in a config that Keras 2 wrote before Keras 3 reads it as it was meant, one row each.

A repair looks at one object of the config and does nothing where there is nothing to repair. Repairs run from top to
bottom: later ones count on earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import keras

from pruning.load.entries import Entry, is_entry, layers_of, walk, wrapped_by

_MODULES = {
    "engine.functional": "keras.src.models.functional",
    "engine.input_layer": "keras.layers",
    "engine.sequential": "keras.src.models.sequential",
    "engine.training": "keras.src.models.model",
}
_NO_GROUPS = (
    "DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
    "SeparableConv2D",
)  # fmt: skip
_RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_COMPILING = ("jit_compile", "run_eagerly", "steps_per_execution")
_OPTIMIZERS = ("SGD", "RMSprop", "Adam", "AdamW", "Adadelta", "Adagrad", "Adamax", "Adafactor", "Nadam", "Ftrl", "Lion")
_RANDOM = (
    "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHeight", "RandomRotation",
    "RandomTranslation", "RandomWidth", "RandomZoom",
)  # fmt: skip


@dataclass(frozen=True)
class Repair:
    """One row of the table.

    Attributes:
        name: Stable name.
        summary: What is done, for the report.
        mend: Changes one object in place; returns whether it did.
    """

    name: str
    summary: str
    mend: Callable[[Entry], bool]


def repaired(config: Entry) -> tuple[Entry, tuple[str, ...]]:
    """Return a config that Keras 3 reads, and a line for the report per kind of repair."""
    config, notes = deepcopy(config), []
    for repair in REPAIRS:
        changed = sum(repair.mend(entry) for entry in list(walk(config)))
        if changed:
            notes.append(f"repaired: {repair.summary} ({changed} place{'s' if changed > 1 else ''})")
    return config, tuple(notes)


def _drop_unset_compiling(entry: Entry) -> bool:
    settings = entry.get("compile_config")
    if not isinstance(settings, dict):
        return False
    unset = [name for name in _COMPILING if name in settings and settings[name] is None]
    for name in unset:
        del settings[name]
    return bool(unset)


def _wrap_list(entry: Entry) -> bool:
    if entry["class_name"] != "Sequential" or not isinstance(entry["config"], list):
        return False
    entry["config"] = {"name": entry.get("name") or "sequential", "layers": entry["config"]}
    return True


def _move_modules(entry: Entry) -> bool:
    module = entry.get("module")
    if not isinstance(module, str):
        return False
    parts = module.removeprefix("tf_").removeprefix("keras.").removeprefix("src.")
    entry["module"] = _MODULES.get(parts, module.removeprefix("tf_") if module.startswith("tf_keras") else module)
    return bool(entry["module"] != module)


def _name_inner_modules(entry: Entry) -> bool:
    # Without a module Keras would also take Attention's score_mode "dot" for its function of that name.
    attention = [layer for layer in layers_of(entry) if layer["class_name"] in ("Attention", "AdditiveAttention")]
    inner = [layer for layer in [*wrapped_by(entry), *attention] if "module" not in layer]
    for layer in inner:
        name = layer["class_name"]
        layer["module"] = "keras" if name in ("Functional", "Model", "Sequential") else "keras.layers"
        if name in ("Functional", "Model"):
            layer["class_name"], layer["module"] = "Functional", "keras.src.models.functional"
    return bool(inner)


def _insert_input(entry: Entry) -> bool:
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


def _drop_input_shape(entry: Entry) -> bool:
    # Without a module Keras reads the argument itself.
    if entry["class_name"] == "InputLayer" or "module" not in entry or "batch_input_shape" not in entry["config"]:
        return False
    del entry["config"]["batch_input_shape"]
    return True


def _unwrap_axis(entry: Entry) -> bool:
    if entry["class_name"] != "BatchNormalization" or "module" not in entry:
        return False
    match entry["config"].get("axis"):
        case [int(axis)]:
            entry["config"]["axis"] = axis
            return True
    return False


def _dropping(classes: tuple[str, ...], **arguments: Any) -> Callable[[Entry], bool]:
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


def _drop_attention_shapes(entry: Entry) -> bool:
    if entry["class_name"] != "MultiHeadAttention":
        return False
    drop = _dropping(
        ("MultiHeadAttention",), query_shape=..., key_shape=..., value_shape=..., softmax_robust_masking=False
    )
    # Its build_config knows only one of the shapes that the layer needs; the call builds it.
    return drop(entry) | (entry.pop("build_config", None) is not None)


def _drop_initializer_dtype(entry: Entry) -> bool:
    stray = [value["config"] for _, value in _initializers(entry) if is_entry(value) and "dtype" in value["config"]]
    for config in stray:
        del config["dtype"]
    return bool(stray)


def _drop_unknown_initializers(entry: Entry) -> bool:
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


def _reference_by_keyword(entry: Entry) -> bool:
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


def _rename(entry: Entry) -> bool:
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


def _unwrap_tensors(entry: Entry) -> bool:
    wrapped = False
    for model in [*layers_of(entry), *wrapped_by(entry)]:
        for key in ("input_layers", "output_layers"):
            ends = model["config"].get(key) if isinstance(model["config"], dict) else None
            if isinstance(ends, list) and len(ends) == 1 and isinstance(ends[0], list):
                model["config"][key] = ends[0]
                wrapped = True
    return wrapped


def _lower_nodes(entry: Entry) -> bool:
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


REPAIRS = (
    Repair("sequential_list", "a Sequential whose config is a bare list got a name", _wrap_list),
    Repair("module", "modules of Keras 2 are named as today", _move_modules),
    Repair("inner_module", "layers inside wrappers, and Attention, got their module", _name_inner_modules),
    Repair("sequential_input", "a Sequential without InputLayer got one", _insert_input),
    Repair("batch_input_shape", "batch_input_shape was dropped from layers that are no input", _drop_input_shape),
    Repair("batchnorm_axis", "BatchNormalization's axis was taken out of its list", _unwrap_axis),
    Repair(
        "groups", "groups was dropped from depthwise, separable and transposed convolutions",
        _dropping(_NO_GROUPS, groups=1),
    ),
    Repair(
        "separable_kernel", "kernel_* arguments, which SeparableConv never uses, were dropped",
        _dropping(
            ("SeparableConv1D", "SeparableConv2D"),
            kernel_initializer=..., kernel_regularizer=..., kernel_constraint=...,
        ),
    ),
    Repair(
        "spatial_dropout", "trainable and noise_shape were dropped from SpatialDropout",
        _dropping(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), trainable=..., noise_shape=None),
    ),
    Repair("time_major", "time_major was dropped from recurrent layers", _dropping(_RECURRENT, time_major=False)),
    Repair(
        "attention_shapes", "shapes that MultiHeadAttention finds itself were dropped", _drop_attention_shapes,
    ),
    Repair("keyword_tensors", "tensors given by keyword are named as today", _reference_by_keyword),
    Repair("rng_type", "rng_type was dropped from random layers", _dropping(_RANDOM, rng_type=...)),
    Repair("initializer_dtype", "dtype was dropped from initializers", _drop_initializer_dtype),
    Repair(
        "unknown_initializer", "unknown initializers were replaced by the default; weights are loaded, none is drawn",
        _drop_unknown_initializers,
    ),
    Repair("compiling", "compile settings that are not set were dropped", _drop_unset_compiling),
    Repair(
        "optimizer", "arguments that optimizers no longer have were dropped",
        _dropping(_OPTIMIZERS, is_legacy_optimizer=..., jit_compile=...),
    ),
    Repair("slash", "/ in layer names became _", _rename),
    Repair("nested_tensors", "single inputs and outputs of nested models left their list", _unwrap_tensors),
    Repair("nested_nodes", "calls of nested models are counted as today", _lower_nodes),
)  # fmt: skip
"""All repairs of a config, in the order in which they run."""
