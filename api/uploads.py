"""Receiving a file: streamed to disk, hashed on the way, inspected, and only then visible."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.deps import Services
from jobs.artifacts.base import CHUNK_BYTES, BlobWriter
from jobs.errors import StoreUnavailableError
from jobs.inspection import DatasetInspection, ModelInspection
from jobs.stores.base import Input

MAX_FILENAME_CHARACTERS = 255


async def receive_upload(
    request: Request,
    services: Services,
    kind: type[Input],
    filename: str,
    inspect: Callable[[Path], ModelInspection | DatasetInspection],
) -> tuple[Input, bool]:
    """Store the body of a request as a model or dataset.

    Returns:
        What is known of it, and whether it is new.

    Raises:
        PruningError: The inspection refuses it.
        StoreUnavailableError: The disk is full, or Redis cannot be reached.
    """

    def commit(writer: BlobWriter) -> tuple[Input, bool]:
        inspection = inspect(writer.path)
        services.store.ping()  # bytes that nobody could be told of would stay for ever
        with services.artifacts.exclusive():
            blob = writer.commit()
            record = kind(
                id=blob.identifier(kind.prefix),
                filename=_cleaned(filename),
                size_bytes=blob.size_bytes,
                sha256=blob.sha256,
                created_at=datetime.now(UTC),
                **vars(inspection),
            )
            return services.store.add_input(record)

    try:
        with services.artifacts.writer(kind.collection) as writer:
            buffer = bytearray()
            async for chunk in request.stream():
                buffer += chunk
                if len(buffer) >= CHUNK_BYTES:
                    await run_in_threadpool(writer.write, bytes(buffer))
                    buffer.clear()
            await run_in_threadpool(writer.write, bytes(buffer))
            await run_in_threadpool(writer.flush)
            return await run_in_threadpool(commit, writer)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreUnavailableError("The disk is full.", hint="Delete models, datasets or jobs.") from error


def _cleaned(filename: str) -> str:
    """Return the last part of a path, printable and of bounded length. It is shown, never opened."""
    name = re.split(r"[/\\]", filename)[-1]
    printable = "".join(character for character in name if character.isprintable())
    return printable[:MAX_FILENAME_CHARACTERS] or "unnamed"
