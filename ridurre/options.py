"""The options of a prune by keyword: the fields of `pruning.spec.PruningSpec`, for people and type checkers.

Kept apart from the spec so that the client needs nothing of the library; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class PruningOptions(TypedDict, total=False):
    """What to remove, how much, and when to stop; see `PruningSpec` for each field."""

    criterion: Any
    ratio: float | None
    num_iterations: int | None
    target_params: float | None
    max_filters_removed: float | None
    schedule: str
    include: list[str]
    exclude: list[str]
    ratios: dict[str, float]
    ratios_by_width: list[dict[str, float]]
    min_channels: int
    seed: int


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that are `None`: the spec's own default holds for them."""
    return {name: value for name, value in options.items() if value is not None}
