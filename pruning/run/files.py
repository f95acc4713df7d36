"""Files of arrays that are there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np

from pruning.errors import CheckpointError

_DIGEST_BYTES = 32


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays and their digest; a reader sees the old file or the new one."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    write_whole(path, content + hashlib.sha256(content).digest())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Raises:
        CheckpointError: The file is gone, torn or changed.
    """
    content = path.read_bytes() if path.is_file() else b""
    content, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise unreadable("A file of a checkpoint is damaged.", path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, zipfile.BadZipFile) as error:  # Written by something else, digest and all.
        raise unreadable("Cannot read a file of a checkpoint.", path) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a loss of power."""
    aside = path.with_name(path.name + ".tmp")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def unreadable(message: str, path: Path) -> CheckpointError:
    """Return the error for a file of a run that cannot be gone on from."""
    return CheckpointError(
        message,
        field="checkpoint_directory",
        received=str(path),
        expected="unmodified files",
        hint="Start a new run in an empty directory.",
    )
