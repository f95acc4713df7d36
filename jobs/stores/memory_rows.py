"""What MemoryStore keeps of a job beside its record, and pages of lists."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from jobs.record import Event, JobRecord, Page
from jobs.stores.base import EVENTS_KEPT
from jobs.stores.cursors import decode_cursor, encode_cursor


@dataclass
class Row:
    """One job. Times are readings of the monotonic clock."""

    job: JobRecord
    position: int
    idempotency_key: str | None
    published_at: float
    num_publications: int = 1
    fence: int = 0
    num_crashes: int = 0
    lease_until: float = 0.0
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    last_event: tuple[int, int] = (0, 0)


def page_of(rows: list[tuple[int, Any]], limit: int, cursor: str | None) -> Page[Any]:
    """Return the records after a cursor, newest first, from pairs of position and record."""
    before = None if cursor is None else decode_cursor(cursor)
    rows = sorted((row for row in rows if before is None or row[0] < before), key=lambda row: -row[0])
    next_cursor = encode_cursor(rows[limit - 1][0]) if len(rows) > limit else None
    return Page(items=tuple(record for _, record in rows[:limit]), next_cursor=next_cursor)
