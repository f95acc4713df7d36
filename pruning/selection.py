"""From scores and targets to a plan: how many channels of each group stay, and which."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from pruning.calibration import Calibration
from pruning.errors import NothingToPruneError, PlanError, SpecError
from pruning.graph.groups import ChannelGraph, ChannelGroup, Keep
from pruning.measure import plan_layers
from pruning.plan import GroupPlan, PruningPlan
from pruning.scoring import Scoring, looks_at_data, require_data
from pruning.spec import PruningSpec


@dataclass(frozen=True)
class Extent:
    """How far one iteration may go.

    Attributes:
        scale: Factor on every ratio, from the schedule.
        min_params: Stop removing once this many parameters are left; `None`: no target.
        max_removed_channels: Remove at most this many channels; `None`: no limit.
    """

    scale: float = 1.0
    min_params: int | None = None
    max_removed_channels: int | None = None


def make_plan(model: keras.Model, spec: PruningSpec, data: Any = None) -> PruningPlan:
    """Plan one prune: by `ratio` where one is given, otherwise just far enough to reach the target.

    The model is not changed.

    Args:
        model: A functional or Sequential model.
        spec: What to remove.
        data: What `Data.of` takes, for a criterion that looks at data; a loss is what the model is compiled with.

    Raises:
        ModelError: The model has no graph that can be traced.
        NothingToPruneError: No channel of the model can be removed.
        SpecError: A pattern matches no layer.
        CriterionError: The criterion returned something unusable, or looks at data and there is none.
        DataError: The data does not fit the model.
    """
    require_data(spec.criterion, data is not None)
    graph = ChannelGraph(model)
    check_patterns(graph, spec)
    require_prunable(graph, spec)
    calibration = None
    if looks_at_data(spec.criterion):
        calibration = Calibration.of(model, data, num_samples=spec.calibration_samples, seed=spec.seed)
    return plan_prune(graph, spec, first_extent(graph, spec), calibration)


def first_extent(graph: ChannelGraph, spec: PruningSpec) -> Extent:
    """Return the extent of a single prune that goes all the way."""
    params = sum(graph.params(graph.stays({})).values())
    channels = sum(group.num_channels for group in graph.groups)
    return Extent(
        min_params=None if spec.target_params is None else math.floor(spec.target_params * params),
        max_removed_channels=None if spec.max_filters_removed is None else int(spec.max_filters_removed * channels),
    )


def plan_prune(
    graph: ChannelGraph, spec: PruningSpec, extent: Extent, calibration: Calibration | None = None
) -> PruningPlan:
    """Plan one prune of a traced model within an extent; `calibration` is for a criterion that looks at data."""
    prunable = [group for group in graph.groups if _chosen(group, spec)]
    counts = _solve(graph, prunable, {group.name: _ratio(group, spec) for group in prunable}, spec, extent)
    scoring = Scoring(graph, spec.criterion, spec.seed, calibration)
    keep = {
        group.name: scoring.keep(group, counts[group.name])
        for group in prunable
        if counts[group.name] < group.num_channels
    }
    return describe(graph, keep, spec)


def require_prunable(graph: ChannelGraph, spec: PruningSpec) -> None:
    """Check that there is something to remove.

    Raises:
        NothingToPruneError: There is not.
    """
    if not any(_chosen(group, spec) and group.num_channels > spec.min_channels for group in graph.groups):
        raise NothingToPruneError(
            "No channel of the model can be removed.",
            field="model" if not graph.groups else "pruning",
            received=_why_nothing(graph),
            expected="at least one prunable group with more than min_channels channels",
            hint="Relax include, exclude or min_channels." if graph.groups else None,
        )


def check_patterns(graph: ChannelGraph, spec: PruningSpec) -> None:
    """Check that each regular expression matches a layer.

    Raises:
        SpecError: One matches nothing.
    """
    paths = [path for path, _ in graph.records.layers.values()]
    for field, patterns in (("include", spec.include), ("exclude", spec.exclude), ("ratios", list(spec.ratios))):
        for pattern in patterns:
            if not any(re.fullmatch(pattern, path) for path in paths):
                raise SpecError(
                    f"The pattern {pattern!r} matches no layer.",
                    field=f"pruning.{field}",
                    received=pattern,
                    expected=f"a regular expression for whole layer paths such as {', '.join(paths[:5])}",
                    hint="Patterns are matched with re.fullmatch; write '.*conv.*' to find a part.",
                )


def describe(graph: ChannelGraph, keep: Keep, spec: PruningSpec) -> PruningPlan:
    """Write down which channels of a traced model stay."""
    layers = plan_layers(graph, keep)
    return PruningPlan(
        fingerprint=graph.fingerprint,
        criterion=str(spec.model_dump(include={"criterion"})["criterion"]),
        groups=tuple(
            GroupPlan(
                name=group.name,
                layers=group.layers,
                num_channels=group.num_channels,
                keep=tuple(keep[group.name].tolist() if group.name in keep else range(group.num_channels)),
            )
            for group in graph.groups
        ),
        layers=layers,
        params_before=sum(layer.params_before for layer in layers),
        params_after=sum(layer.params_after for layer in layers),
        macs_before=_total(layer.macs_before for layer in layers),
        macs_after=_total(layer.macs_after for layer in layers),
    )


def kept_channels(graph: ChannelGraph, plan: PruningPlan) -> Keep:
    """Return what a plan keeps of a traced model.

    Raises:
        PlanError: The plan was made for another architecture.
    """
    if plan.fingerprint != graph.fingerprint:
        raise PlanError(
            "The plan was made for another architecture.",
            field="plan",
            received=f"a plan for fingerprint {plan.fingerprint[:12]}…",
            expected=f"a plan for fingerprint {graph.fingerprint[:12]}…",
            hint="Replay a plan on the model it was made for, or on one retrained from it.",
        )
    known = {group.name: group.num_channels for group in graph.groups}
    if known != {group.name: group.num_channels for group in plan.groups}:
        raise PlanError(
            "The plan's channel groups are not those of the model.",
            field="plan.groups",
            received=", ".join(f"{group.name} ({group.num_channels})" for group in plan.groups),
            expected=", ".join(f"{name} ({count})" for name, count in known.items()),
            hint="Plans are not meant to be edited by hand.",
        )
    return {group.name: np.asarray(group.keep) for group in plan.groups}


def _total(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _matches(patterns: list[str], group: ChannelGroup) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns for path in group.layers)


def _chosen(group: ChannelGroup, spec: PruningSpec) -> bool:
    return not _matches(spec.exclude, group) and (not spec.include or _matches(spec.include, group))


def _ratio(group: ChannelGroup, spec: PruningSpec) -> float:
    """Return the ratio for a group: by pattern, else by width, else the general one; 1 where a target decides."""
    by_layer = [ratio for pattern, ratio in spec.ratios.items() if _matches([pattern], group)]
    if by_layer:
        return min(by_layer)
    by_width = [row for row in spec.ratios_by_width if row.min_channels <= group.num_channels]
    if by_width:
        return max(by_width, key=lambda row: row.min_channels).ratio
    if spec.ratio is not None:
        return spec.ratio
    return 1.0 if spec.target_params is not None or spec.max_filters_removed is not None else 0.0


def _solve(
    graph: ChannelGraph, prunable: list[ChannelGroup], ratios: dict[str, float], spec: PruningSpec, extent: Extent
) -> dict[str, int]:
    """Return how many channels of each group stay: the ratios, scaled down so as not to pass the extent."""

    def counts(scale: float) -> dict[str, int]:
        return {
            group.name: min(
                group.num_channels,
                max(
                    spec.min_channels,
                    group.num_channels - math.floor(scale * ratios[group.name] * group.num_channels + 0.5),
                ),
            )
            for group in prunable
        }

    def params(scale: float) -> int:
        sizes = counts(scale)
        stays = graph.stays({name: np.arange(size) for name, size in sizes.items()})
        return sum(graph.params(stays).values())

    def removed(scale: float) -> int:
        sizes = counts(scale)
        return sum(group.num_channels - sizes[group.name] for group in prunable)

    scale = extent.scale
    if extent.min_params is not None:
        limit = extent.min_params
        scale = min(scale, _smallest(lambda s: params(s) <= limit))
    if extent.max_removed_channels is not None:
        most = extent.max_removed_channels
        if removed(scale) > most:
            scale = min(scale, _largest(lambda s: removed(s) <= most))
    return counts(scale)


def _smallest(holds: Callable[[float], bool]) -> float:
    """Return the smallest scale in 0..1 at which a monotone condition holds; 1 if it never does."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _largest(holds: Callable[[float], bool]) -> float:
    """Return the largest scale in 0..1 up to which a monotone condition holds; 0 if it never does."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _why_nothing(graph: ChannelGraph) -> str:
    if graph.groups:
        return f"{len(graph.groups)} channel groups, all of them excluded or too narrow"
    reasons = [f"{path}: {reason}" for path, reason in graph.locked.items()]
    return "; ".join(reasons[:5]) or "no layer that makes channels is left to choose from"
