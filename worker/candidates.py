"""Candidates as files: what the child calls them, and how they become artifacts of the job."""

from __future__ import annotations

from collections.abc import Sequence

NAME = r"^[a-z0-9][a-z0-9_.-]{0,127}$"
MAX_FILES = 100
"""A job keeps the files of so many candidates; the report tells of all."""
FOLDER = "candidates"
"""Where the child writes them, in `output/`."""
FILES = {".keras": "pruned.keras", ".plan.json": "plan.json"}
"""Ending of a candidate's file → what it is of the delivered model."""


def artifact_name(candidate: str, suffix: str) -> str:
    """Return the name under which a candidate's file is downloaded."""
    return f"candidate-{candidate}{suffix}"


def worth_keeping(names: Sequence[str], front: Sequence[str]) -> list[str]:
    """Return of which candidates to keep files, in their order: those that no other beats before the others."""
    ranked = [*front, *(name for name in names if name not in front)]
    kept = set(ranked[:MAX_FILES])
    return [name for name in names if name in kept]
