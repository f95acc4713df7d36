"""What an uploaded model file says of itself: its format and, for .keras, the paths of its layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import UnsupportedModelFileError
from jobs.inspection.archive import Archive, open_archive
from pruning.errors import ModelError
from pruning.model_layout import CONFIG, HDF5_MAGIC, METADATA, WEIGHTS, Format, format_of

MEMBERS = frozenset({CONFIG, METADATA, WEIGHTS})
MAX_MEMBERS = 64
MAX_CONFIG_BYTES = 4 * 1024**2
MAX_METADATA_BYTES = 64 * 1024
MAX_LAYERS = 10_000
MAX_NESTING = 20
MAX_NAME_CHARACTERS = 256
MODEL_CLASSES = frozenset({"Functional", "Model", "Sequential"})


@dataclass(frozen=True)
class ModelInspection:
    """What an upload turned out to be.

    Attributes:
        format: By content, whatever the file is called.
        layers: Paths such as `stem` or `nested/conv`, inputs left out; `None` for h5.
    """

    format: Format
    layers: tuple[str, ...] | None


def inspect_model(path: Path) -> ModelInspection:
    """Check an uploaded model file.

    Raises:
        UnsupportedModelFileError: Neither a .keras nor an .h5 file.
        ModelError: A .keras file that is damaged or holds no Keras model.
    """
    with path.open("rb") as file:
        start = file.read(len(HDF5_MAGIC))
    format = format_of(start)
    if format is None:
        raise UnsupportedModelFileError(
            "The file is not a Keras model.",
            field="file",
            received=f"a file that starts with {start!r}" if start else "an empty file",
            expected="a .keras file (zip) or an .h5 file (HDF5)",
            hint="Save the model with model.save('model.keras').",
        )
    if format == "h5":
        return ModelInspection(format, None)
    with open_archive(path, ModelError, MAX_MEMBERS) as archive:
        return ModelInspection(format, _layers_of(archive))


def _layers_of(archive: Archive) -> tuple[str, ...]:
    if set(archive.members) != MEMBERS:
        raise ModelError(
            "The zip file is not a .keras file.",
            field="file",
            received=_listing(sorted(archive.members)),
            expected=_listing(sorted(MEMBERS)),
            hint="Save the model with model.save('model.keras') in Keras 3.",
        )
    _parse_object(archive, METADATA, MAX_METADATA_BYTES)
    config = _parse_object(archive, CONFIG, MAX_CONFIG_BYTES)
    if archive.read_start(WEIGHTS, len(HDF5_MAGIC)) != HDF5_MAGIC:
        raise ModelError(f"{WEIGHTS} is not HDF5.", field="file", received=WEIGHTS, expected="an HDF5 file")
    if not _is_model(config):
        raise ModelError(
            "The root of config.json is not a Keras model.",
            field="file",
            received=f"class_name {str(config.get('class_name'))[:100]!r}",
            expected=f"a built model of class {' or '.join(sorted(MODEL_CLASSES))}",
            hint="Subclassed models have no graph. Rebuild the model with the functional API.",
        )
    layers = tuple(dict.fromkeys(_walk(config, "", 0)))
    if not layers:
        raise ModelError("The model has no layers.", field="file", received="0 layers", expected="at least 1 layer")
    if len(layers) > MAX_LAYERS:
        raise ModelError(
            "The model has too many layers.",
            field="file",
            received=f"{len(layers)} layers",
            expected=f"at most {MAX_LAYERS}",
        )
    return layers


def _walk(model: dict[str, Any], prefix: str, depth: int) -> Iterator[str]:
    if depth > MAX_NESTING:
        raise ModelError(
            "Models are nested too deeply.",
            field="file",
            received=prefix[:100],
            expected=f"at most {MAX_NESTING} levels",
        )
    for layer in model["config"]["layers"]:
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            raise ModelError(
                "A layer in config.json is not an object with a config.", field="file", received=str(layer)[:100]
            )
        name = layer["config"].get("name", layer.get("name"))
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not _is_text(name):
            raise ModelError(
                "A layer in config.json has no valid name.",
                field="file",
                received=str(name)[:100],
                expected=f"1 to {MAX_NAME_CHARACTERS} characters of valid Unicode",
            )
        if _is_model(layer):
            yield from _walk(layer, f"{prefix}{name}/", depth + 1)
        elif layer.get("class_name") != "InputLayer" and not _is_operation(layer):
            yield prefix + name


def _is_model(layer: dict[str, Any]) -> bool:
    config = layer.get("config")
    has_layers = isinstance(config, dict) and isinstance(config.get("layers"), list)
    return has_layers and layer.get("class_name") in MODEL_CLASSES


def _is_text(name: str) -> bool:
    """Return whether UTF-8 can write a name; JSON can escape half a surrogate pair, which is no character."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _is_operation(layer: dict[str, Any]) -> bool:
    """Return whether a node of the graph is a function such as `keras.ops.add`, not a layer."""
    return str(layer.get("module")).startswith(("keras.ops", "keras.src.ops"))


def _parse_object(archive: Archive, name: str, max_bytes: int) -> dict[str, Any]:
    def refuse_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        value = json.loads(archive.read(name, max_bytes).decode(), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        raise ModelError(f"{name} is not valid JSON.", field="file", received=name, expected="valid JSON") from None
    if not isinstance(value, dict):
        raise ModelError(f"{name} is not an object.", field="file", received=type(value).__name__, expected="an object")
    return value


def _listing(names: list[str]) -> str:
    shown = ", ".join(name[:60] for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown or "no members"
