"""Snapshots of models by name: in memory, or in a folder that outlives the process."""

from __future__ import annotations

from pathlib import Path

from pruning.recovery.snapshot import Snapshot
from pruning.run.files import read_arrays, write_arrays


class Shelf:
    """Where a run keeps the models that it may come back to.

    Args:
        folder: Where to keep them; `None`: in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._held: dict[str, Snapshot] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, snapshot: Snapshot) -> None:
        """Keep a snapshot; one of the same name is replaced."""
        if self._folder is None:
            self._held[name] = snapshot
        else:
            write_arrays(self._folder / f"{name}.npz", snapshot.arrays)

    def get(self, name: str) -> Snapshot:
        """Return what was kept.

        Raises:
            CheckpointError: Its file is gone or damaged.
        """
        if self._folder is None:
            return self._held[name]
        return Snapshot.from_arrays(read_arrays(self._folder / f"{name}.npz"))
