"""Whether the targets of a spec can be reached at all, before any training is spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pruning.errors import InfeasibleError
from pruning.graph.groups import ChannelGraph
from pruning.selection.bounds import bounds
from pruning.selection.costs import Costs
from pruning.selection.goals import Baseline, goals, limits
from pruning.selection.ranking import turns
from pruning.selection.targets import solve
from pruning.spec import PruningSpec

_RELAXED: dict[str, Any] = {
    "max_filters_removed": None, "min_channels": 1, "min_channels_by_layer": {}, "max_ratio": None, "round_to": 1,
    "include": [], "exclude": [], "freeze": [], "ratios": {}, "ratios_by_width": [],
}  # fmt: skip
"""Fields that may be in the way of a target, and what they are when they are not."""


def require_reachable(graph: ChannelGraph, spec: PruningSpec, baseline: Baseline, costs: Costs) -> None:
    """Check the targets that can be counted against the smallest model that the spec permits.

    Raises:
        InfeasibleError: One cannot be reached. The error names the nearest point and the fields that are in the
            way: those of which each alone would have to give way, else all that matter together.
    """
    wanted = goals(spec, baseline)
    nearest = _nearest(graph, spec, baseline, costs)
    missed = [name for name, amount in nearest.items() if amount > wanted[name]]
    if not missed:
        return
    relaxed = {name: value for name, value in _RELAXED.items() if getattr(spec, name) != value}
    alone = [name for name in relaxed if _reaches(graph, spec, {name: relaxed[name]}, baseline, costs)]
    if alone:
        binding = tuple(alone)
    else:
        binding = tuple(relaxed) if _reaches(graph, spec, relaxed, baseline, costs) else ("model",)
    raise InfeasibleError(
        "The targets cannot be reached.",
        nearest=nearest,
        binding=binding,
        field=f"pruning.{missed[0]}",
        received=", ".join(f"at most {wanted[name]:,.0f} for {name}" for name in missed),
        expected="at least " + ", ".join(f"{nearest[name]:,.0f}{_share(nearest, baseline, name)}" for name in missed),
        hint=_HINTS.get(binding[0] if len(binding) == 1 else "", f"Relax {' or '.join(binding)}."),
    )


_HINTS = {"model": "With one channel left in each group, what remains is in layers that cannot be pruned: see explain."}


def _nearest(graph: ChannelGraph, spec: PruningSpec, baseline: Baseline, costs: Costs) -> dict[str, float]:
    """Return field of each target that can be counted → the least that the spec lets be left.

    Where everything that may go goes, it does not matter in which order; `max_filters_removed` is judged with
    groups that take turns.
    """
    bounded = bounds(graph, spec)
    # Where nothing but the target says how much goes, the ratios of single layers hold for the whole prune.
    scale = 1.0 if spec.ratio is None and (spec.num_iterations or 1) == 1 else None
    most = None if spec.max_filters_removed is None else int(spec.max_filters_removed * baseline.num_channels)
    widths = solve(turns(bounded, scale), bounded, [], most).widths
    counted = limits(costs, goals(spec, baseline), baseline.file_bytes)
    return {limit.field: float(limit.count(widths)) for limit in counted}


def _reaches(
    graph: ChannelGraph, spec: PruningSpec, changes: Mapping[str, Any], baseline: Baseline, costs: Costs
) -> bool:
    relaxed = spec.model_copy(update=dict(changes))
    wanted = goals(spec, baseline)
    return all(amount <= wanted[name] for name, amount in _nearest(graph, relaxed, baseline, costs).items())


def _share(nearest: Mapping[str, float], baseline: Baseline, name: str) -> str:
    return f" ({nearest[name] / baseline.amounts[name]:.4f} of the original) for {name}"
