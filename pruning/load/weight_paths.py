"""Where the zips of Keras 2.13 to 2.15 keep the weights of a layer, and where Keras 3 looks for them."""

from __future__ import annotations

import re
from pathlib import Path

import h5py

_CONTAINER = "_layer_checkpoint_dependencies"
_ATTENTION = ("_query_dense", "_key_dense", "_value_dense", "_output_dense")
NOTE = "repaired: weights are found under the paths of Keras 3"


def move_weights(path: Path) -> bool:
    """Bring the groups of a weights file to the paths of Keras 3, in place; return whether any had to move."""
    with h5py.File(path, "r+") as file:
        moves = [(name, new) for name in _groups(file) if (new := _renamed(name)) != name]
        for name, new in moves:
            values = [file[f"{name}/{key}"][()] for key in sorted(file[name], key=int)]
            target = file.require_group(new)
            for index, value in enumerate(values):
                if str(index) not in target:
                    target[str(index)] = value
        counted = _count_anew(file) if moves else False
        return bool(moves) or counted


def _groups(file: h5py.File) -> list[str]:
    """Return the paths of all groups that hold a layer's variables."""
    found: list[str] = []
    file.visititems(lambda name, node: found.append(name) if re.search(r"(^|[/\\])vars$", name) else None)
    return found


def _renamed(name: str) -> str:
    parts = re.split(r"[/\\]", name)
    return "/".join("layers" if part == _CONTAINER else part[1:] if part in _ATTENTION else part for part in parts)


def _count_anew(file: h5py.File) -> bool:
    """Number the layers of a class without gaps: Keras 2.13 counted a layer with weights twice."""
    containers: list[h5py.Group] = [file["layers"]] if "layers" in file else []
    counted = False
    while containers:
        group = containers.pop()
        classes: dict[str, list[tuple[int, str]]] = {}
        for name in group:
            match = re.fullmatch(r"(.*?)(?:_(\d+))?", name)
            if match:
                classes.setdefault(match[1], []).append((int(match[2] or 0), name))
        for base, members in classes.items():
            for index, (_, name) in enumerate(sorted(members)):
                new = f"{base}_{index}" if index else base
                if new != name:  # never taken: numbers only fall
                    group.move(name, new)
                    counted = True
        containers.extend(layer["layers"] for layer in group.values() if "layers" in layer)
    return counted
