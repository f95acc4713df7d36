"""Files as Keras 2 wrote them: what tf-keras saves, edited into older forms where tf-keras no longer writes those."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

Config = dict[str, Any]
Edit = Callable[[Config], object]


def edit_file(path: Path, edit: Edit) -> None:
    """Change the config of a saved model in place; the edit may change its argument or return another one."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            file.attrs["model_config"] = json.dumps(edit(config) or config).encode()
        return
    members = _members(path)
    config = json.loads(members["config.json"])
    members["config.json"] = json.dumps(edit(config) or config).encode()
    _write(path, members)


def edit_weights(path: Path, edit: Callable[[h5py.File], None]) -> None:
    """Change the weights file inside a zip in place."""
    members = _members(path)
    weights = path.with_suffix(".weights.h5")
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        edit(file)
    _write(path, {**members, "model.weights.h5": weights.read_bytes()})


def count_twice(group: h5py.Group) -> None:
    """Keep weights as Keras 2.13 did: in another folder, each layer with weights counted twice within its class."""
    layers = group["layers"]
    for layer in layers.values():
        if "layers" in layer:
            count_twice(layer)
    numbered = [name for name in layers if name.rpartition("_")[2].isdigit()]
    for name in sorted(numbered, key=lambda name: -int(name.rpartition("_")[2])):
        base, _, number = name.rpartition("_")
        layers.move(name, f"{base}_{2 * int(number)}")
    group.move("layers", "_layer_checkpoint_dependencies")


def with_backslashes(file: h5py.File) -> None:
    """Name groups as Keras 2.14 did on Windows."""
    for name in list(file["layers"]):
        file.move(f"layers/{name}/vars", rf"layers\{name}/vars")
    del file["layers"]


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
