"""ProgressTail: the events of the child as they come, with an estimate of the time left."""

from __future__ import annotations

import logging
import math
import time
from typing import Annotated, BinaryIO

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from jobs.record import Progress
from worker.directory import JobDirectory
from worker.outcome import Metrics

MAX_LINE_BYTES = 16 * 1024
MAX_READ_BYTES = 1024**2
MAX_EVENTS_AT_ONCE = 50
LEAST_ETA_SECONDS = 1.0
"""While events come, work goes on."""

logger = logging.getLogger(__name__)


def _only_usable(seconds: object) -> object:
    """Leave out what is no time; it is no reason to lose the event."""
    is_usable = not isinstance(seconds, int | float) or (math.isfinite(seconds) and seconds >= 0)
    return seconds if is_usable else None


class _Line(Progress):
    model_config = ConfigDict(frozen=True, extra="ignore")

    eta_seconds: Annotated[float | None, BeforeValidator(_only_usable)] = None
    metrics: Metrics = Field(default_factory=dict)


class ChildEvent(BaseModel):
    """One event of the child: the progress, and the metrics of the latest event that has some."""

    progress: Progress
    metrics: dict[str, float]


class ProgressTail:
    """Reads `events.jsonl` while it grows. Lines that break the protocol are skipped and logged once."""

    def __init__(self, directory: JobDirectory) -> None:
        self._directory = directory
        self._started = time.monotonic()
        self._file: BinaryIO | None = None
        self._rest = b""
        self._complained = False
        self.metrics: dict[str, float] = {}

    def read(self) -> list[ChildEvent]:
        """Return the events since the last call; of a flood only the newest."""
        if self._file is None:
            self._file = self._directory.open_regular("events.jsonl")
        if self._file is None:
            return []
        *lines, self._rest = (self._rest + self._file.read(MAX_READ_BYTES)).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._complain("an incomplete line")
            self._rest = self._rest[: MAX_LINE_BYTES + 1]  # still too long when its end comes, and skipped then
        events = [event for line in lines if (event := self._parse(line)) is not None]
        return events[-MAX_EVENTS_AT_ONCE:]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _parse(self, line: bytes) -> ChildEvent | None:
        if len(line) > MAX_LINE_BYTES:
            self._complain("a line that is too long")
            return None
        try:
            parsed = _Line.model_validate_json(line)
        except ValidationError as error:
            self._complain(f"{error.error_count()} invalid fields in a line")
            return None
        self.metrics = parsed.metrics or self.metrics  # together they would mix figures of different epochs
        fields = parsed.model_dump(exclude={"metrics", "eta_seconds"})
        told, guessed = parsed.eta_seconds, self._guessed_seconds(parsed.fraction)
        seconds = guessed if told is None else told
        eta_seconds = None if seconds is None else max(LEAST_ETA_SECONDS, round(seconds, 1))
        return ChildEvent(progress=Progress(**fields, eta_seconds=eta_seconds), metrics=self.metrics)

    def _guessed_seconds(self, fraction: float | None) -> float | None:
        """Assume that the rest goes as fast as what is done; say nothing where there is nothing to go by."""
        if fraction is None or not 0.01 <= fraction < 1:
            return None
        return (time.monotonic() - self._started) * (1 - fraction) / fraction

    def _complain(self, what: str) -> None:
        if not self._complained:
            logger.warning("skipping events of the child: %s", what)
            self._complained = True
