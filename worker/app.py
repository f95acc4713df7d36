"""The Celery application. Started with `jobs.queue.WORKER_COMMAND`.

The pool is one thread: the work happens in a child process that the thread watches, and when this process
dies, however hard, the kernel takes the child with it.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from jobs.queue import QUEUE, RUN_TASK, broker_options
from jobs.settings import settings_or_exit
from worker.runtime import runtime

app = Celery("ridurre", include=["worker.tasks"])
app.conf.update(
    broker_options(settings_or_exit()),
    task_acks_late=False,  # the lease decides who runs what; a late acknowledgement ran jobs twice
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    worker_pool="threads",
    worker_concurrency=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_hijack_root_logger=True,
    worker_send_task_events=False,
)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _start_sweeping(**_: Any) -> None:
    runtime().start_sweeping(lambda job_id: app.send_task(RUN_TASK, args=[job_id], queue=QUEUE, retry=False))


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _give_back_the_job(**_: Any) -> None:
    """Stop the child at hand: Celery's warm shutdown would wait for hours of training."""
    runtime().stopping.set()
