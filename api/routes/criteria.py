"""Criteria: what can be chosen by name."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from jobs.record import Page
from pruning.catalog import CRITERIA

router = APIRouter(prefix="/v1/criteria", tags=["criteria"])


class CriterionInfo(BaseModel):
    """One criterion of the catalog."""

    name: str
    summary: str
    source: str
    needs_data: bool
    ranks: bool


@router.get("", summary="List criteria")
def list_criteria() -> Page[CriterionInfo]:
    """What `pruning.criterion` of a job may be."""
    items = tuple(
        CriterionInfo(
            name=entry.name,
            summary=entry.summary,
            source=entry.source,
            needs_data=entry.needs_data,
            ranks=entry.ranks,
        )
        for entry in CRITERIA.values()
    )
    return Page(items=items)
