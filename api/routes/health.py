"""Health: is the process alive, and can it work?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import ServicesDep
from api.errors import problem_responses

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"] = "ok"


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Check that the process is alive")
async def healthz() -> Health:
    """Answers while the process does."""
    return Health()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Check that jobs can be accepted", responses=problem_responses())
def readyz(services: ServicesDep) -> Health:
    """Answers `503` while Redis cannot be reached."""
    services.store.ping()
    return Health()
