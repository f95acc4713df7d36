"""The one task of the queue. Thin: everything is in the supervisor."""

from __future__ import annotations

from celery import Task

from jobs.queue import RUN_TASK
from worker.app import app
from worker.runtime import runtime


@app.task(name=RUN_TASK, bind=True)  # type: ignore[untyped-decorator]
def run(self: Task, job_id: str) -> str | None:
    """Run a job if it still waits; a message that comes twice does nothing."""
    return runtime().supervisor.run(job_id)
