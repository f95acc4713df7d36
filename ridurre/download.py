"""One download: a temporary file beside the target, a running digest, and the rename at the end."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import httpx

from ridurre.errors import DigestMismatchError, ServiceUnreachableError, UnexpectedAnswerError

MAX_ATTEMPTS_WITHOUT_PROGRESS = 5


class Download:
    """The state of one download, independent of how its bytes arrive.

    `open`, then for each attempt `headers`, `begin`, `write`*, and `lost` if it broke off; at last
    `finish` or `discard`. The target changes only in `finish`, and only if the digest is right.

    Args:
        path: Where on the service, such as `/v1/jobs/job_1/artifacts/pruned.keras`.
        target: The file to write; replaced if it exists.
    """

    def __init__(self, path: str, target: Path) -> None:
        self.path = path
        self.target = target
        self._etag: str | None = None
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._total_bytes: int | None = None
        self._size_at_last_loss = -1
        self._attempts = 0

    def open(self) -> None:
        """Create the temporary file; the target's folder must exist."""
        descriptor, name = tempfile.mkstemp(prefix=f".{self.target.name}.", suffix=".part", dir=self.target.parent)
        self._part = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def headers(self) -> dict[str, str]:
        """Headers of the next attempt: identity coding, for the digest is of the file's bytes."""
        headers = {"Accept-Encoding": "identity"}
        if self._size_bytes and self._etag:
            headers |= {"Range": f"bytes={self._size_bytes}-", "If-Range": self._etag}
        return headers

    def begin(self, response: httpx.Response) -> None:
        """Take note of what is coming: the rest (206) or the whole from its start (200)."""
        etag = response.headers.get("ETag")
        if etag is None:
            raise UnexpectedAnswerError(
                f"The response for {self.path} has no digest.",
                expected="an ETag header",
                hint="Check that the URL is that of a Ridurre service.",
            )
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        start = f"bytes {self._size_bytes}-"
        if resumed and (etag != self._etag or not response.headers.get("Content-Range", "").startswith(start)):
            raise UnexpectedAnswerError(
                f"The download of {self.path} did not resume at the right position.",
                received=f"{response.headers.get('Content-Range')} of {etag}",
                expected=f"{start} of {self._etag}",
            )
        if not resumed:
            self._file.seek(0)
            self._file.truncate()
            self._digest = hashlib.sha256()
            self._size_bytes = 0
        length = "" if "Content-Encoding" in response.headers else response.headers.get("Content-Length", "")
        self._total_bytes = self._size_bytes + int(length) if length.isdecimal() else None
        self._etag = etag

    @property
    def complete(self) -> bool:
        """Whether all bytes came, even if the connection broke after the last one."""
        return self._size_bytes == self._total_bytes

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self._size_bytes += len(chunk)

    def lost(self, error: ServiceUnreachableError) -> float:
        """Return after how many seconds to try again.

        Raises:
            ServiceUnreachableError: Several attempts in a row brought nothing.
        """
        self._attempts = 0 if self._size_bytes > self._size_at_last_loss else self._attempts + 1
        self._size_at_last_loss = self._size_bytes
        if self._attempts >= MAX_ATTEMPTS_WITHOUT_PROGRESS:
            raise ServiceUnreachableError(
                f"The download of {self.path} was interrupted after {self._size_bytes} bytes.",
                received=str(error.__cause__) or type(error.__cause__).__name__,
            ) from error
        return min(0.1 * 2.0**self._attempts, 5.0)

    def finish(self) -> None:
        """Check the digest, then put the file in its place.

        Raises:
            DigestMismatchError: Other bytes came than the ETag announced; nothing is kept.
        """
        expected = (self._etag or "").removeprefix("W/").strip('"').removeprefix("sha256:")
        if self._digest.hexdigest() != expected:
            raise DigestMismatchError(
                f"The digest of {self.path} does not match, so {self.target} was not written.",
                received=f"sha256 {self._digest.hexdigest()}, {self._size_bytes} bytes",
                expected=f"sha256 {expected}",
                hint="Download it again. If the error persists, something between client and service changes files.",
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.chmod(0o644)
        self._part.replace(self.target)

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        self._file.close()
        self._part.unlink(missing_ok=True)
