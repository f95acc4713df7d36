"""JobDirectory: the files through which supervisor and child speak. See docs/child-protocol.md."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from jobs.artifacts.base import ArtifactStore
from jobs.record import DatasetRecord, JobRecord, ModelRecord
from jobs.spec import BUILTIN_DATASETS
from jobs.stores.base import JobStore

logger = logging.getLogger(__name__)

SUFFIXES = {"keras": ".keras", "h5": ".h5", "npz": ".npz", "image_folder": ".zip"}


class JobDirectory:
    """A directory of mode 700 that lives as long as the run it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def work(self) -> Path:
        """The child's scratch space."""
        return self.path / "work"

    @property
    def log(self) -> Path:
        """What the child printed."""
        return self.path / "log.txt"

    def open_regular(self, name: str) -> BinaryIO | None:
        """Open a file that the child wrote, or return `None` if there is none.

        The child may be in the hands of a hostile model, so links and pipes count as absent, and so does what is
        behind a link.
        """
        try:
            descriptor = _open_without_links(self.path, PurePosixPath(name))
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return None
        return os.fdopen(descriptor, "rb")

    def log_end(self, max_bytes: int = 4000) -> str:
        """Return the end of what the child printed: for the operator, as it can hold parts of the model."""
        log = self.open_regular("log.txt")
        if log is None:
            return ""
        with log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - max_bytes))
            return log.read(max_bytes).decode(errors="replace").strip()

    def prepare(self, job: JobRecord, store: JobStore, artifacts: ArtifactStore) -> None:
        """Put the inputs and `job.json` in place.

        Raises:
            NotFoundError: An upload is gone.
        """
        for name in ("input", "work", "output"):
            (self.path / name).mkdir(mode=0o700)
        model = store.get_input(ModelRecord, job.spec.model)
        model_file = f"input/model{SUFFIXES[model.format]}"
        artifacts.fetch(ModelRecord.collection, model.sha256, self.path / model_file)
        content = {
            "job_id": job.id,
            "spec": job.spec.as_json(),
            "model_file": model_file,
            "dataset": self._prepare_dataset(job.spec.dataset, store, artifacts),
        }
        (self.path / "job.json").write_text(json.dumps(content))

    def _prepare_dataset(
        self, dataset_id: str | None, store: JobStore, artifacts: ArtifactStore
    ) -> dict[str, Any] | None:
        if dataset_id is None:
            return None
        if dataset_id in BUILTIN_DATASETS:
            return {"kind": "builtin", "name": dataset_id}
        dataset = store.get_input(DatasetRecord, dataset_id)
        file = f"input/dataset{SUFFIXES[dataset.format]}"
        artifacts.fetch(DatasetRecord.collection, dataset.sha256, self.path / file)
        return {"kind": dataset.format, "file": file}


@contextmanager
def job_directory(workspace: Path, job_id: str, fence: int) -> Iterator[JobDirectory]:
    """Make the directory of one run, and delete it afterwards."""
    workspace.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = workspace / f"{job_id}-{fence}"
    path.mkdir(mode=0o700)
    try:
        with _lock_path(path).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield JobDirectory(path)
    finally:
        _remove(path)


def remove_abandoned(workspace: Path) -> None:
    """Delete the directories of workers that died; those in use are locked."""
    for path in workspace.glob("job_*-*/"):
        with _lock_path(path).open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _remove(path)


def _open_without_links(folder: Path, name: PurePosixPath) -> int:
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in name.parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(name.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")  # beside it: the child could remove a lock inside


def _remove(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except OSError:  # the child can take away permissions; its job is done all the same
        logger.exception("could not remove %s", path.name)
    _lock_path(path).unlink(missing_ok=True)
