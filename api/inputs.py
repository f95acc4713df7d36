"""The routes of what jobs take, models and datasets alike: upload, list, look at, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as FilePath

from fastapi import APIRouter, Path, Request, Response

from api.deps import Cursor, Filename, Limit, ServicesDep
from api.errors import problem_responses
from api.uploads import receive_upload
from jobs.inspection import DatasetInspection, ModelInspection
from jobs.record import Page
from jobs.stores.base import Input

BODY = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


def input_routes(
    kind: type[Input], inspect: Callable[[FilePath], ModelInspection | DatasetInspection], accepted: str
) -> APIRouter:
    """Return the routes of one kind of upload.

    Args:
        kind: What the store remembers of it; its names are those of paths and operations.
        inspect: Checks the file; what it finds becomes part of the record.
        accepted: The files that are taken, for people.
    """
    one, many = kind.kind, kind.collection
    router = APIRouter(prefix=f"/v1/{many}", tags=[many])
    identifier_in_path: str = Path(alias=f"{one}_id")
    place = f"/{{{one}_id}}"

    @router.post(
        "",
        name=f"upload_{one}",
        summary=f"Upload a {one}",
        description=f"Send the file itself as the body: {accepted}.",
        status_code=201,
        response_model=kind,
        responses={**problem_responses(413, 415, 422), 200: {"model": kind, "description": "Already there"}},
        openapi_extra={"requestBody": BODY},
    )
    async def upload(request: Request, response: Response, filename: Filename, services: ServicesDep) -> Input:
        record, created = await receive_upload(request, services, kind, filename, inspect)
        response.status_code = 201 if created else 200
        response.headers["Location"] = f"/v1/{many}/{record.id}"
        return record

    @router.get(
        "",
        name=f"list_{many}",
        summary=f"List {many}",
        response_model=Page[kind],  # type: ignore[valid-type]
        responses=problem_responses(422),
    )
    def list_all(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Page[Input]:
        """Newest first."""
        return services.store.list_inputs(kind, limit, cursor)

    @router.get(
        place,
        name=f"get_{one}",
        summary=f"Get a {one}",
        response_model=kind,
        responses=problem_responses(404, 422),
    )
    def get(services: ServicesDep, identifier: str = identifier_in_path) -> Input:
        """What is known of it."""
        return services.store.get_input(kind, identifier)

    @router.delete(
        place,
        name=f"delete_{one}",
        summary=f"Delete a {one}",
        status_code=204,
        responses=problem_responses(404, 409, 422),
    )
    def delete(services: ServicesDep, identifier: str = identifier_in_path) -> None:
        """Refused while an unfinished job needs it."""
        with services.artifacts.exclusive():
            record = services.store.get_input(kind, identifier)
            services.store.delete_input(kind, identifier)
            services.artifacts.delete(many, record.sha256)

    return router
