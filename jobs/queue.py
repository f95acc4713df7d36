"""Names and options that publisher and worker must agree on. Plain values: no Celery here."""

from __future__ import annotations

from typing import Any

from jobs.settings import Settings

QUEUE = "ridurre"
RUN_TASK = "ridurre.run"
KEY_PREFIX = "q:"
WORKER_COMMAND = (
    *("-m", "celery", "--app", "worker.app", "--quiet", "worker"),
    *("--pool", "threads", "--concurrency", "1"),
    *("--queues", QUEUE, "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
"""What Python is given to start a worker. Its settings it reads from the environment: see `Settings.environment`."""


def broker_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings for reaching the broker, for both ends of the queue.

    The message is only a hint that a job waits, so nothing here tries to make it durable: the lease in the
    job store decides who runs what.
    """
    return {
        "broker_url": settings.broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "global_keyprefix": KEY_PREFIX,
            "visibility_timeout": 3600,
            "socket_timeout": 30,
            "socket_keepalive": True,
        },
        "task_default_queue": QUEUE,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": None,
        "worker_enable_remote_control": False,
    }
