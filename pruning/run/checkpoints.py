"""A run on disk: written after every epoch and every step, read back after an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pruning.datasets.parts import PARTS
from pruning.datasets.rows import Samples, in_parts
from pruning.errors import CheckpointError
from pruning.graph.fingerprint import fingerprint
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.weights import read_weights
from pruning.recovery.snapshot import Snapshot
from pruning.recovery.training_state import TrainingSnapshot
from pruning.run.bench import Bench
from pruning.run.files import read_arrays, unreadable, write_arrays, write_whole
from pruning.run.setting import Setting
from pruning.run.state import RunState
from pruning.run.versions import versions

_SCHEMA_VERSION = 1
_KEPT = 2
"""Checkpoints that stay: the last, and the one before in case the last is torn."""


class Checkpoints:
    """The directory of a run.

    It holds `run.json`, what the run is; `models/`, the variables of candidates; and `checkpoints/`, the states.

    Args:
        directory: Made if it is not there.
        setting: The run's.

    Raises:
        CheckpointError: The directory holds another run.
    """

    def __init__(self, directory: Path, setting: Setting) -> None:
        self._setting = setting
        self.shelf = directory / "models"
        self._folder = directory / "checkpoints"
        self._folder.mkdir(parents=True, exist_ok=True)
        identity, path = _identity(setting), directory / "run.json"
        if path.exists():
            _require_same(path, identity)
        else:
            write_whole(path, json.dumps(identity, indent=2).encode())
        self._number = max((int(each.name) for each in self._whole_ones()), default=0)

    def write(self, state: RunState, snapshot: Snapshot | TrainingSnapshot) -> None:
        """Write a state, and remove all but the last two."""
        self._number += 1
        aside = self._folder / f"{self._number:06d}.tmp"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        write_arrays(aside / "arrays.npz", snapshot.arrays)
        content = state.as_json().encode()
        write_whole(aside / "state.json", hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        os.rename(aside, self._folder / f"{self._number:06d}")
        for old in self._whole_ones()[:-_KEPT]:
            shutil.rmtree(old)

    def resume(self, bench: Bench) -> tuple[RunState, ChannelGraph] | None:
        """Return the last state that can be read, and its model; `None` if nothing is done yet.

        Raises:
            CheckpointError: There are checkpoints, and none can be read.
        """
        failure, torn = None, list[Path]()
        for folder in reversed(self._whole_ones()):
            try:
                state, arrays = _state(folder / "state.json"), read_arrays(folder / "arrays.npz")
            except CheckpointError as error:
                failure = error
                torn.append(folder)
                continue
            for useless in torn:  # It would take the place of one that can be read.
                shutil.rmtree(useless)
            snapshot = Snapshot.from_arrays(arrays)
            if state.phase is not None:
                bench.resumed = TrainingSnapshot.from_arrays(state.phase, arrays)
                snapshot = Snapshot(snapshot.variables)  # The optimizer is the training's.
            return state, bench.models.build(state.plan, snapshot)
        if failure is not None:
            raise failure
        return None

    def _whole_ones(self) -> list[Path]:
        return sorted(each for each in self._folder.iterdir() if each.name.isdecimal())


def _state(path: Path) -> RunState:
    digest, _, content = (path.read_bytes() if path.is_file() else b"").partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise unreadable("A checkpoint is damaged.", path)
    try:
        return RunState.model_validate_json(content)
    except ValidationError as error:
        raise unreadable("Cannot read a checkpoint.", path) from error


def _identity(setting: Setting) -> dict[str, Any]:
    """Return what makes a run that run; a checkpoint of another one is refused."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "versions": versions(),
        "model": {"architecture": fingerprint(setting.graph), "weights": _digest(_weights(setting))},
        "pruning": json.loads(setting.spec.model_dump_json()),
        "training": json.loads(setting.training.model_dump_json()),
        "data": None if setting.data is None else _digest(_samples(setting)),
        "compiled": {} if setting.compiling is None else setting.compiling.described,
    }


def _weights(setting: Setting) -> list[np.ndarray]:
    return [read_weights(variable) for variable in setting.graph.model.variables]


def _samples(setting: Setting) -> list[Samples]:
    data = setting.data
    return [] if data is None else [array for name in PARTS for array in getattr(data, name).values()]


def _digest(arrays: Sequence[Samples]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        whole = np.atleast_1d(array) if isinstance(array, np.ndarray) else array
        for part in in_parts(whole):
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _require_same(path: Path, identity: dict[str, Any]) -> None:
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise unreadable("Cannot read the description of the run.", path) from error
    differing = [
        f"{name} {now!r} instead of {before!r}" for name, before, now in _differences(stored, identity) if before != now
    ]
    if differing:
        raise CheckpointError(
            "The directory has checkpoints of another run.",
            field="checkpoint_directory",
            received="; ".join(differing)[:500],
            expected="the same model, specs, data and versions as when the run started",
            hint="Use the same ones, or an empty directory to start a new run.",
        )


def _differences(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Return the leaves of two nested dicts side by side."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = dict.fromkeys([*before, *now])
        return [
            leaf
            for key in names
            for leaf in _differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        ]
    return [(name, before, now)]
