"""Artifacts: the results of a job as files."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import MutableHeaders

from api import etags, ranges
from api.deps import IfNoneMatch, ServicesDep
from api.errors import problem_responses
from jobs.artifacts.base import job_collection
from jobs.record import ArtifactRecord, Page
from jobs.stores.refusals import no_artifact

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.get("/{job_id}/artifacts", summary="List the artifacts of a job", responses=problem_responses(404, 422))
def list_artifacts(job_id: str, services: ServicesDep) -> Page[ArtifactRecord]:
    """Empty until the job has succeeded."""
    return Page(items=services.store.get(job_id).artifacts)


@router.head("/{job_id}/artifacts/{name}", include_in_schema=False)
@router.get(
    "/{job_id}/artifacts/{name}",
    summary="Download an artifact",
    response_class=FileResponse,
    responses={
        **problem_responses(404, 416, 422),
        200: {"description": "The file", **FILE},
        206: {"description": "The requested range", **FILE},
        304: {"description": "Not modified"},
    },
)
def download_artifact(
    job_id: str, name: str, request: Request, services: ServicesDep, if_none_match: IfNoneMatch = None
) -> Response:
    """The bytes; `ETag` is their sha256, `Range` is understood."""
    job = services.store.get(job_id)
    artifact = next((found for found in job.artifacts if found.name == name), None)
    if artifact is None:
        raise no_artifact(job, name)
    headers = {"ETag": etags.quoted(artifact.sha256), "X-Content-Type-Options": "nosniff"}
    if etags.matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    _keep_satisfiable_ranges(request, headers["ETag"], artifact.size_bytes)
    path = services.artifacts.path(job_collection(job_id), artifact.sha256)
    return FileResponse(path, headers=headers, media_type=artifact.media_type, filename=artifact.name)


def _keep_satisfiable_ranges(request: Request, etag: str, size_bytes: int) -> None:
    """Change the request, whose headers `FileResponse` reads by itself."""
    headers = MutableHeaders(scope=request.scope)
    wanted = headers.get("range")
    if wanted is None:
        return
    is_meant = request.method == "GET" and headers.get("if-range", etag) == etag
    kept = ranges.satisfiable(wanted, size_bytes) if is_meant else None
    del headers["range"]
    if kept is not None:
        headers["range"] = kept
