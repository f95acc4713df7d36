"""LocalArtifacts: blobs as files below one directory."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.artifacts.base import ArtifactStore, Blob, BlobWriter
from jobs.errors import NotFoundError

COLLECTION = re.compile(r"[a-z]+(/[a-zA-Z0-9_]+)?")
DIGEST = re.compile(r"[0-9a-f]{64}")


class LocalWriter(BlobWriter):
    """Writes aside, and renames on commit."""

    def __init__(self, path: Path, directory: Path, collection: str) -> None:
        self._path = path
        self._directory = directory
        self._collection = collection
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        self._file = path.open("xb")

    @property
    def path(self) -> Path:
        return self._path

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size_bytes += len(data)
        self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def commit(self) -> Blob:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._hash.hexdigest()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._path.chmod(0o400)
        self._path.replace(self._directory / digest)
        _sync_directory(self._directory)
        return Blob(self._collection, digest, self._size_bytes)

    def discard(self) -> None:
        """Remove what was not committed."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class LocalArtifacts(ArtifactStore):
    """`ROOT/COLLECTION/SHA256`, and `ROOT/incoming/` for what is still being written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextmanager
    def writer(self, collection: str) -> Iterator[LocalWriter]:
        writer = LocalWriter(self._incoming / secrets.token_hex(16), self._directory(collection), collection)
        try:
            yield writer
        finally:
            writer.discard()

    def path(self, collection: str, sha256: str) -> Path:
        path = self._blob(collection, sha256)
        if not path.is_file():
            raise NotFoundError(f"There is no content {sha256[:12]}… in {collection}.", received=sha256)
        return path

    def fetch(self, collection: str, sha256: str, destination: Path) -> None:
        source = self.path(collection, sha256)
        try:
            os.link(source, destination)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            shutil.copyfile(source, destination)  # another file system, or one without hard links

    def delete(self, collection: str, sha256: str) -> None:
        self._blob(collection, sha256).unlink(missing_ok=True)

    def delete_collection(self, collection: str) -> None:
        directory = self._directory(collection)
        if directory.exists():
            shutil.rmtree(directory)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with (self._root / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def remove_abandoned(self, older_than_seconds: float) -> None:
        oldest = time.time() - older_than_seconds
        for path in self._incoming.iterdir():
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # its writer has just finished

    def _directory(self, collection: str) -> Path:
        if not COLLECTION.fullmatch(collection):
            raise ValueError(f"{collection!r} is not a valid collection name. Expected a name such as 'models'.")
        return self._root / collection

    def _blob(self, collection: str, sha256: str) -> Path:
        if not DIGEST.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a sha256. Expected 64 hexadecimal digits.")
        return self._directory(collection) / sha256


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
