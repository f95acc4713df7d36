"""Jobs: submit, list, look at or wait for, cancel, delete."""

from __future__ import annotations

import re
import time
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.concurrency import run_in_threadpool

from api import etags
from api.deps import MAX_WAIT_SECONDS, Cursor, IfNoneMatch, Limit, Services, ServicesDep, Wait
from api.errors import problem_responses
from jobs.artifacts.base import job_collection
from jobs.record import JobRecord, Page
from jobs.spec import JobSpec
from jobs.status import JobStatus
from jobs.submission import check_submission

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1, max_length=255, description="Repeating a request with the same key and spec returns the same job."
    ),
]
Prefer = Annotated[str | None, Header(description="`wait=SECONDS`, an alternative to the parameter `wait`.")]


@router.post("", summary="Submit a job", status_code=202, responses=problem_responses(409, 413, 422))
def submit_job(
    spec: JobSpec, response: Response, services: ServicesDep, idempotency_key: IdempotencyKey = None
) -> JobRecord:
    """Queue a pruning job."""
    check_submission(spec, services.store)
    job, created = services.store.create(spec, idempotency_key)
    if created:
        services.publish(job.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["ETag"] = etags.quoted(job.version)
    return job


@router.get("", summary="List jobs", responses=problem_responses(422))
def list_jobs(
    services: ServicesDep, status: JobStatus | None = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[JobRecord]:
    """Newest first."""
    return services.store.list_jobs(status, limit, cursor)


@router.get(
    "/{job_id}",
    summary="Get a job, or wait for it",
    response_model=JobRecord,
    responses={**problem_responses(404, 422), 304: {"description": "Not modified"}},
)
async def get_job(
    job_id: str,
    response: Response,
    services: ServicesDep,
    if_none_match: IfNoneMatch = None,
    wait: Wait = 0,
    prefer: Prefer = None,
) -> JobRecord | Response:
    """Answer at once, or with `wait` when the job differs from `If-None-Match`, is finished, or time is up.

    Waiting without `If-None-Match` is waiting for the end of the job.
    """
    preferred = _preferred_wait(prefer)
    job = await _wait_for_news(services, job_id, if_none_match, max(wait, preferred))
    headers = {"ETag": etags.quoted(job.version), "Cache-Control": "no-cache"}
    if preferred:
        headers["Preference-Applied"] = f"wait={preferred}"
    if etags.matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return job


@router.post("/{job_id}/cancel", summary="Cancel a job", status_code=202, responses=problem_responses(404, 409, 422))
def cancel_job(job_id: str, response: Response, services: ServicesDep) -> JobRecord:
    """A waiting job is cancelled at once, a running one within seconds."""
    job = services.store.request_cancel(job_id)
    response.headers["ETag"] = etags.quoted(job.version)
    return job


@router.delete("/{job_id}", summary="Delete a job", status_code=204, responses=problem_responses(404, 409, 422))
def delete_job(job_id: str, services: ServicesDep) -> None:
    """Remove a finished job with its events and artifacts."""
    services.store.delete(job_id)
    services.artifacts.delete_collection(job_collection(job_id))


async def _wait_for_news(services: Services, job_id: str, if_none_match: str | None, wait_seconds: float) -> JobRecord:
    deadline = time.monotonic() + wait_seconds
    with services.wakeups.watch(job_id) as watch:
        while True:
            job = await run_in_threadpool(services.store.get, job_id)
            is_news = if_none_match is not None and not etags.matches(if_none_match, etags.quoted(job.version))
            left_seconds = deadline - time.monotonic()
            if job.is_finished or is_news or left_seconds <= 0 or services.wakeups.is_stopping:
                return job
            await watch.wait(left_seconds)


def _preferred_wait(prefer: str | None) -> int:
    match = re.search(r"\bwait\s*=\s*(\d{1,6})\b", prefer or "", re.ASCII)
    return min(int(match[1]), MAX_WAIT_SECONDS) if match else 0
