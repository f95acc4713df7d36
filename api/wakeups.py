"""Wakeups: one thread listens to the store, any number of requests wait for it without holding a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.stores.base import JobStore

RECHECK_SECONDS = 5.0


class Watch:
    """One request that waits for changes of one job."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def wait(self, timeout_seconds: float) -> None:
        """Return when the job may have changed; at the latest after `RECHECK_SECONDS`, as a hint may be lost."""
        try:
            async with asyncio.timeout(min(timeout_seconds, RECHECK_SECONDS)):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    def wake(self) -> None:
        """Let `wait` return."""
        self._changed.set()


class Wakeups:
    """Who waits for which job. Lives on one event loop; only the listener is a thread of its own."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._watches: dict[str, set[Watch]] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to listen; call it on the event loop that will wait."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._listen, args=(loop,), name="ridurre-wakeups", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop to listen, within a second or so, and let everyone who waits look once more."""
        self._stopping.set()
        for job_id in list(self._watches):
            self._wake(job_id)

    @property
    def is_stopping(self) -> bool:
        """Whether long answers should come to an end."""
        return self._stopping.is_set()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Watch a job; changes are heard from here on, so look at the job only afterwards."""
        watch = Watch()
        self._watches.setdefault(job_id, set()).add(watch)
        try:
            yield watch
        finally:
            self._watches[job_id].discard(watch)
            if not self._watches[job_id]:
                del self._watches[job_id]

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for job_id in self._store.changes(self._stopping.is_set):
            if job_id is not None and not loop.is_closed():
                loop.call_soon_threadsafe(self._wake, job_id)

    def _wake(self, job_id: str) -> None:
        for watch in self._watches.get(job_id, ()):
            watch.wake()
