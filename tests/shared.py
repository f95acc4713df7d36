"""Models and data that are not part of the repository: tests that need them are skipped where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("RIDURRE_SHARED", Path(__file__).parents[2] / "shared"))


def shared(name: str) -> Path:
    """Return the path of a shared file, or skip the test."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name}, looked for in RIDURRE_SHARED or beside the repository")
    return path
