"""Written by `scripts/generate` from `pruning.spec.PruningSpec`; change that, not this."""

from __future__ import annotations

from typing import Any, TypedDict


class PruningOptions(TypedDict, total=False):
    """What to remove, how much, and when to stop; see `PruningSpec` for each field."""

    criterion: Any
    scope: str
    normalisation: str
    importance_per: str | None
    ratio: float | None
    num_iterations: int | None
    target_params: float | None
    target_macs: float | None
    target_file_bytes: float | None
    target_latency: float | dict[str, Any] | None
    runtimes: list[str]
    max_filters_removed: float | None
    max_metric_drop: float | None
    metric: str | None
    schedule: Any
    include: list[str]
    exclude: list[str]
    freeze: list[str]
    ratios: dict[str, float]
    ratios_by_width: list[dict[str, Any]]
    min_channels: int
    calibration_samples: int
    reconstruction: bool
    min_channels_by_layer: dict[str, int]
    max_ratio: float | None
    round_to: int
    sweep: dict[str, Any] | None
    search: dict[str, Any] | None
    baselines: dict[str, Any] | None
    seed: int
