"""Cursors: opaque positions in lists, and positions in a job's events."""

from __future__ import annotations

import base64
import binascii

from pruning.errors import SpecError


def encode_cursor(position: int) -> str:
    """Return an opaque cursor for a position in a list."""
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the position that `encode_cursor` hid, or raise `SpecError`."""
    try:
        return int(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
    except (ValueError, binascii.Error):
        raise SpecError(
            "The cursor does not belong to this list.",
            field="cursor",
            received=cursor[:64],
            expected="the `next_cursor` of a previous page",
        ) from None


def parse_event_cursor(cursor: str) -> tuple[int, int]:
    """Return an event cursor as a pair that sorts, or raise `SpecError`."""
    milliseconds, dash, sequence = cursor.partition("-")
    digits = f"{milliseconds}{sequence}"
    valid = len(cursor) <= 40 and digits.isdecimal() and digits.isascii() and milliseconds and (sequence or not dash)
    if not valid or max(int(milliseconds), int(sequence or 0)) >= 2**64:
        raise SpecError(
            "The cursor does not belong to an event.",
            field="after",
            received=cursor[:64],
            expected="the id of an event, such as 1790000000000-0",
        )
    return int(milliseconds), int(sequence or 0)
