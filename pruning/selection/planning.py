"""From ranking and targets to a plan: how many channels of each group stay, and which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from pruning.counting.costs import Costs
from pruning.counting.rows import plan_layers
from pruning.datasets.data import Data
from pruning.errors import CriterionError
from pruning.graph.fingerprint import fingerprint
from pruning.graph.groups import ChannelGraph, Keep
from pruning.keras_model.finite import require_finite
from pruning.plan import GroupPlan, PruningPlan
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring, needs_samples, require_samples
from pruning.selection.bounds import Bounds, bounds, check_patterns, require_prunable
from pruning.selection.feasibility import require_reachable
from pruning.selection.goals import Baseline, FileBytes, Stopwatch, goals, limits, measure_baseline
from pruning.selection.ranking import Ranking
from pruning.selection.sensitivity import SCORING_SHARE, Sensitivities
from pruning.selection.speed import fast_enough
from pruning.selection.targets import Solution, solve
from pruning.spec import PruningSpec, checked


@dataclass(frozen=True)
class Extent:
    """How far one prune may go.

    Attributes:
        scale: Factor on every ratio, from the schedule.
        at_most: Field of a target → the most that may be left after this prune.
        max_removed_channels: Remove at most this many channels; `None`: no limit.
        file_bytes: How large a file is for the bytes of the variables.
        stopwatch: Measures latency, where it is limited.
        wanted: Group → the width that earlier prunes would have left without rounding up; `None`: its width now.
        at_start: Group → its width before the first prune; `None`: its width now.
    """

    scale: float = 1.0
    at_most: Mapping[str, float] = field(default_factory=dict)
    max_removed_channels: int | None = None
    file_bytes: FileBytes = field(default_factory=FileBytes)
    stopwatch: Stopwatch | None = None
    wanted: Mapping[str, int] | None = None
    at_start: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Selection:
    """What one prune does.

    Attributes:
        plan: Which channels stay.
        wanted: Group → the width that it would have without rounding up, for the next prune to go on from.
    """

    plan: PruningPlan
    wanted: Mapping[str, int]


def make_plan(model: keras.Model, spec: PruningSpec | Mapping[str, Any], data: Any = None) -> PruningPlan:
    """Plan one prune: by `ratio` where one is given, otherwise just far enough to reach the targets.

    The model is not changed. A ratio stops at the targets.

    Args:
        model: A functional or Sequential model.
        spec: What to remove, as a spec or a dict of its fields; what speaks of iterations is ignored.
        data: What `Data.of` takes, for a criterion that looks at data; a loss is what the model is compiled with.

    Raises:
        ModelError: The model has no graph that can be traced.
        NothingToPruneError: No channel of the model can be removed.
        SpecError: The spec is not valid, or a pattern matches no layer.
        InfeasibleError: The targets cannot be reached.
        CriterionError: The criterion returned something unusable, or looks at data and there is none.
        DataError: The data does not fit the model.
    """
    spec = checked(PruningSpec, spec, "pruning")
    arrays = None if data is None else Data.of(data)
    spec = spec.resolved(has_data=arrays is not None, has_targets=arrays is not None and arrays.is_labelled)
    require_samples(spec, arrays is not None)
    graph = ChannelGraph(model)
    check_patterns(graph, spec)
    require_prunable(graph, spec)
    costs = Costs(graph)
    baseline = measure_baseline(graph, spec, costs)
    # A ratio may be asked to go on in later prunes; a target alone has this one.
    require_reachable(graph, spec, baseline, costs, is_repeated=spec.ratio is not None)
    calibration = None
    if needs_samples(spec):
        calibration = Calibration.of(model, arrays, num_samples=spec.calibration_samples, seed=spec.seed)
    try:
        return plan_prune(graph, spec, final_extent(spec, baseline), calibration, costs).plan
    except CriterionError:
        require_finite(model)  # Looked for only now: it takes longer than a plan.
        raise


def final_extent(spec: PruningSpec, baseline: Baseline) -> Extent:
    """Return the extent of a prune that goes all the way."""
    most = spec.max_filters_removed
    return Extent(
        at_most=goals(spec, baseline),
        max_removed_channels=None if most is None else int(most * baseline.num_channels),
        file_bytes=baseline.file_bytes,
        stopwatch=baseline.stopwatch,
    )


def plan_prune(
    graph: ChannelGraph,
    spec: PruningSpec,
    extent: Extent,
    calibration: Calibration | None = None,
    costs: Costs | None = None,
    sensitivities: Sensitivities | None = None,
) -> Selection:
    """Plan one prune of a traced model within an extent.

    Args:
        graph: The traced model.
        spec: What to remove.
        extent: How far to go.
        calibration: For a criterion or a scope that looks at data.
        costs: The model's, if they are known already.
        sensitivities: Those that were measured before; what is measured here is added.
    """
    costs = costs or Costs(graph)
    bounded = bounds(graph, spec, extent.wanted, extent.at_start)
    scoring, sensitivity = Scoring(graph, spec.criterion, spec.seed, calibration), None
    free = [bound.group for bound in bounded if bound.ratio != 0 and bound.least < bound.group.num_channels]
    scoring.require_suited(free)
    if spec.scope == "sensitivity" and calibration is not None:
        scoring = Scoring(graph, spec.criterion, spec.seed, calibration.within(0, SCORING_SHARE))
        names = [group.name for group in free]
        sensitivities = Sensitivities() if sensitivities is None else sensitivities
        sensitivity = sensitivities.of(graph, spec, names, scoring, calibration.within(SCORING_SHARE, 1))
    ranking = Ranking(graph, spec, scoring, costs, sensitivity)
    order = ranking.order(bounded, extent.scale)
    counted = limits(costs, extent.at_most, extent.file_bytes)
    seconds = extent.at_most.get("target_latency")
    begin = order if seconds is None or counted else order[:0]
    solution = solve(begin, bounded, counted, extent.max_removed_channels)
    if seconds is not None and extent.stopwatch is not None:
        solution = fast_enough(
            graph, spec, extent.stopwatch, bounded, order, solution, seconds, extent.max_removed_channels
        )
    keep = {
        bound.group.name: ranking.keep(bound, int(width))
        for bound, width in zip(bounded, solution.widths, strict=True)
        if width < bound.group.num_channels
    }
    plan = describe(graph, keep, spec, _why(spec, bounded, solution), costs)
    return Selection(
        plan, {bound.group.name: int(width) for bound, width in zip(bounded, solution.wanted, strict=True)}
    )


_SCOPES = {"global": "global ranking", "sensitivity": "sensitivity of each group"}


def _why(spec: PruningSpec, bounded: list[Bounds], solution: Solution) -> dict[str, str]:
    """Return group → what decided its width, in the words of the spec."""
    reasons = {}
    for bound, wanted, width in zip(bounded, solution.wanted, solution.widths, strict=True):
        said = [bound.because]
        if bound.ratio != 0:
            if spec.scope in _SCOPES:
                said.append(_SCOPES[spec.scope])
            said += [f"{name} {shown(getattr(spec, name))}" for name in solution.stopped_by]
            if width > wanted:
                said.append(f"round_to {spec.round_to}")
            if wanted == bound.least:
                said.append(bound.least_because)
        reasons[bound.group.name] = "; ".join(dict.fromkeys(filter(None, said)))
    return reasons


def describe(
    graph: ChannelGraph,
    keep: Keep,
    spec: PruningSpec,
    why: Mapping[str, str] | None = None,
    costs: Costs | None = None,
) -> PruningPlan:
    """Write down which channels of a traced model stay, and what decided how many: `why`, by group."""
    layers = plan_layers(graph, costs or Costs(graph), keep, why)
    return PruningPlan(
        fingerprint=fingerprint(graph),
        criterion=str(spec.model_dump(include={"criterion"})["criterion"]),
        groups=tuple(
            GroupPlan(
                name=group.name,
                layers=group.layers,
                num_channels=group.num_channels,
                keep=tuple(keep[group.name].tolist() if group.name in keep else range(group.num_channels)),
                why=(why or {}).get(group.name, ""),
            )
            for group in graph.groups
        ),
        layers=layers,
        params_before=sum(layer.params_before for layer in layers),
        params_after=sum(layer.params_after for layer in layers),
        macs_before=_total(layer.macs_before for layer in layers),
        macs_after=_total(layer.macs_after for layer in layers),
    )


def _total(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def shown(value: object) -> str:
    """Return the value of a field as a reason for reading gives it."""
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else f"{value:g}"
