"""Publisher: tells the workers that a job waits."""

from __future__ import annotations

import logging
import threading
from typing import Any

from jobs.queue import QUEUE, RUN_TASK, broker_options
from jobs.settings import Settings

logger = logging.getLogger(__name__)


class CeleryPublisher:
    """Sends `run(job_id)`. Celery is imported at the first job, so that the API starts without it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._celery: Any = None

    def __call__(self, job_id: str) -> None:
        """Publish a job. A failure is logged only: workers publish again what waits for too long."""
        try:
            self._client().send_task(RUN_TASK, args=[job_id], queue=QUEUE, retry=False)
        except Exception as error:  # noqa: BLE001 - kombu lets through errors of every transport
            logger.warning("could not publish %s, a worker will retry: %s", job_id, error)

    def _client(self) -> Any:
        with self._lock:
            if self._celery is None:
                from celery import Celery

                self._celery = Celery("ridurre", set_as_current=False)
                self._celery.conf.update(broker_options(self._settings))
            return self._celery
