"""ArtifactStore: uploads and results as bytes, addressed by their sha256."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

ID_DIGITS = 24
CHUNK_BYTES = 1024**2


@dataclass(frozen=True)
class Blob:
    """Stored bytes: a collection such as `models`, and the digest of the content within it."""

    collection: str
    sha256: str
    size_bytes: int

    def identifier(self, prefix: str) -> str:
        """Return the id of an upload with this content: the prefix and the first digits of the digest."""
        return prefix + self.sha256[:ID_DIGITS]


class BlobWriter(ABC):
    """Bytes on their way in. Nothing is visible before `commit`; leaving the context without it removes them."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """A local file with what was written so far, for inspection before `commit`."""

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """How much was written so far."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append bytes."""

    @abstractmethod
    def flush(self) -> None:
        """Make everything written so far readable at `path`."""

    @abstractmethod
    def commit(self) -> Blob:
        """Make the bytes durable and visible under their digest; the same bytes twice are one blob."""


class ArtifactStore(ABC):
    """Bytes in collections; every job has one of its own, so that deleting it deletes nothing of others."""

    @abstractmethod
    def writer(self, collection: str) -> AbstractContextManager[BlobWriter]:
        """Start writing a blob."""

    @abstractmethod
    def path(self, collection: str, sha256: str) -> Path:
        """Return a local file with the blob's bytes, never to be written to; `NotFoundError`."""

    @abstractmethod
    def fetch(self, collection: str, sha256: str, destination: Path) -> None:
        """Make `destination` a file with the blob's bytes; `NotFoundError`."""

    @abstractmethod
    def delete(self, collection: str, sha256: str) -> None:
        """Remove a blob if it is there."""

    @abstractmethod
    def delete_collection(self, collection: str) -> None:
        """Remove all blobs of a collection."""

    @abstractmethod
    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes from committing and deleting, so that bytes and what is known of them agree."""

    @abstractmethod
    def remove_abandoned(self, older_than_seconds: float) -> None:
        """Remove what writers that died left behind."""

    def add(self, collection: str, source: BinaryIO) -> Blob:
        """Store the rest of an open file."""
        with self.writer(collection) as writer:
            while chunk := source.read(CHUNK_BYTES):
                writer.write(chunk)
            return writer.commit()


def job_collection(job_id: str) -> str:
    """Return the collection that holds the results of a job."""
    return f"jobs/{job_id}"
