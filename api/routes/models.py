"""Models: upload, list, look at, delete."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.deps import Cursor, Filename, Limit, ServicesDep
from api.errors import problem_responses
from api.uploads import receive_upload
from jobs.inspection import inspect_model
from jobs.record import ModelRecord, Page

router = APIRouter(prefix="/v1/models", tags=["models"])
BODY = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.post(
    "",
    summary="Upload a model",
    status_code=201,
    responses={**problem_responses(413, 415, 422), 200: {"model": ModelRecord, "description": "Already there"}},
    openapi_extra={"requestBody": BODY},
)
async def upload_model(request: Request, response: Response, filename: Filename, services: ServicesDep) -> ModelRecord:
    """Send the file itself as the body: a `.keras` file or an `.h5` file."""
    record, created = await receive_upload(request, services, ModelRecord, filename, inspect_model)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/models/{record.id}"
    return record


@router.get("", summary="List models", responses=problem_responses(422))
def list_models(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Page[ModelRecord]:
    """Newest first."""
    return services.store.list_inputs(ModelRecord, limit, cursor)


@router.get("/{model_id}", summary="Look at a model", responses=problem_responses(404, 422))
def get_model(model_id: str, services: ServicesDep) -> ModelRecord:
    """What is known of it."""
    return services.store.get_input(ModelRecord, model_id)


@router.delete("/{model_id}", summary="Delete a model", status_code=204, responses=problem_responses(404, 409, 422))
def delete_model(model_id: str, services: ServicesDep) -> None:
    """Refused while an unfinished job needs it."""
    with services.artifacts.exclusive():
        record = services.store.get_input(ModelRecord, model_id)
        services.store.delete_input(ModelRecord, model_id)
        services.artifacts.delete(ModelRecord.collection, record.sha256)
