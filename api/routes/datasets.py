"""Datasets: upload, list, look at, delete."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.deps import Cursor, Filename, Limit, ServicesDep
from api.errors import problem_responses
from api.uploads import receive_upload
from jobs.inspection import inspect_dataset
from jobs.record import DatasetRecord, Page

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
BODY = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "",
    summary="Upload a dataset",
    status_code=201,
    responses={**problem_responses(413, 415, 422), 200: {"model": DatasetRecord, "description": "Already there"}},
    openapi_extra={"requestBody": BODY},
)
async def upload_dataset(
    request: Request, response: Response, filename: Filename, services: ServicesDep
) -> DatasetRecord:
    """Send the file itself as the body: an `.npz` file, or a zip of images with class folders, masks or a CSV."""
    record, created = await receive_upload(request, services, DatasetRecord, filename, inspect_dataset)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/datasets/{record.id}"
    return record


@router.get("", summary="List datasets", responses=problem_responses(422))
def list_datasets(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Page[DatasetRecord]:
    """Newest first."""
    return services.store.list_inputs(DatasetRecord, limit, cursor)


@router.get("/{dataset_id}", summary="Look at a dataset", responses=problem_responses(404, 422))
def get_dataset(dataset_id: str, services: ServicesDep) -> DatasetRecord:
    """What is known of it."""
    return services.store.get_input(DatasetRecord, dataset_id)


@router.delete("/{dataset_id}", summary="Delete a dataset", status_code=204, responses=problem_responses(404, 409, 422))
def delete_dataset(dataset_id: str, services: ServicesDep) -> None:
    """Refused while an unfinished job needs it."""
    with services.artifacts.exclusive():
        record = services.store.get_input(DatasetRecord, dataset_id)
        services.store.delete_input(DatasetRecord, dataset_id)
        services.artifacts.delete(DatasetRecord.collection, record.sha256)
