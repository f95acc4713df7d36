"""Ranges: which bytes of a file a client asks for (RFC 9110, 14.2).

Starlette's `FileResponse` answers what it does not understand with plain text, and refuses several ranges
when one of them is past the end; so it gets only ranges that it can serve.
"""

from __future__ import annotations

import re

from starlette.exceptions import HTTPException

RANGE = re.compile(r"(\d{1,30})-(\d{0,30})|-(\d{1,30})", re.ASCII)


class RangeNotSatisfiableError(HTTPException):
    """Ranges that are all past the end of a file."""

    def __init__(self, received: str, size_bytes: int) -> None:
        super().__init__(
            status_code=416,
            detail="The range is past the end of the file.",
            headers={"Content-Range": f"bytes */{size_bytes}"},
        )
        self.received = received
        self.size_bytes = size_bytes


def satisfiable(header: str, size_bytes: int) -> str | None:
    """Return the ranges of a header that a file of this size has, or `None` if the header is to be ignored.

    Raises:
        RangeNotSatisfiableError: The header is sound, and the file has none of its ranges.
    """
    unit, separator, listed = header.partition("=")
    if not separator or unit.strip().lower() != "bytes":
        return None
    found: list[str] = []
    for part in listed.split(","):
        match = RANGE.fullmatch(part.strip())
        if match is None:
            return None
        first, last, suffix = match.groups()
        if first and last and int(first) > int(last):
            return None
        if int(first) < size_bytes if first else size_bytes and int(suffix):
            found.append(match[0])
    if not found:
        raise RangeNotSatisfiableError(header[:200], size_bytes)
    return f"bytes={','.join(found)}"
