"""Sweeper: finds jobs whose worker died or whose message got lost, and publishes them again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from jobs.errors import StoreUnavailableError
from jobs.record import JobRecord
from jobs.settings import Settings
from jobs.status import CLAIMABLE, JobStatus
from jobs.stores.base import JobStore

logger = logging.getLogger(__name__)


class Sweeper:
    """Any number may run at once: each step is a compare-and-set, and a message too many does no harm."""

    def __init__(self, store: JobStore, publish: Callable[[str], None], settings: Settings) -> None:
        self._store = store
        self._publish = publish
        self._settings = settings

    def sweep(self) -> None:
        """Look at all unfinished jobs once."""
        for job in self._jobs(JobStatus.RUNNING):
            expired = self._store.expire(job.id, self._settings.max_attempts)
            if expired is not None:
                logger.warning("%s lost its worker and is %s", job.id, expired.status)
        for status in CLAIMABLE:
            for job in self._jobs(status):
                if self._store.take_publication(job.id, self._settings.republish_seconds):
                    logger.info("publishing %s again", job.id)
                    self._publish(job.id)

    def run(self, stopping: threading.Event) -> None:
        """Sweep now, and again every few seconds until `stopping` is set."""
        while True:
            try:
                self.sweep()
            except StoreUnavailableError as error:
                logger.warning("cannot check for lost jobs: %s", error)
            except Exception:  # a broker away, say: the thread has to live on
                logger.exception("checking for lost jobs failed")
            if stopping.wait(self._settings.sweep_seconds):
                return

    def _jobs(self, status: JobStatus) -> Iterator[JobRecord]:
        cursor = None
        while True:
            page = self._store.list_jobs(status, limit=200, cursor=cursor)
            yield from reversed(page.items)  # the oldest of a page first
            cursor = page.next_cursor
            if cursor is None:
                return
