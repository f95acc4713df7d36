"""Whether the targets of a spec can be reached at all, before any training is spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pruning.counting.costs import Costs
from pruning.errors import InfeasibleError
from pruning.graph.groups import ChannelGraph
from pruning.selection.bounds import bounds
from pruning.selection.goals import Baseline, goals, limits
from pruning.selection.ranking import turns
from pruning.selection.room import Room
from pruning.selection.targets import nearness, solve
from pruning.spec import PruningSpec

_RELAXED: dict[str, object] = {
    "max_filters_removed": None, "min_channels": 1, "min_channels_by_layer": {}, "max_ratio": None, "round_to": 1,
    "include": [], "exclude": [], "freeze": [], "ratios": {}, "ratios_by_width": [],
}  # fmt: skip
"""Fields that may be in the way of a target, and what they are when they are not."""


@dataclass(frozen=True)
class _Asked:
    """What is asked, and of what.

    Attributes:
        graph: The traced model.
        baseline: The model before it is pruned.
        costs: The model's.
        is_repeated: Whether several prunes may follow each other, each by the ratios.
    """

    graph: ChannelGraph
    baseline: Baseline
    costs: Costs
    is_repeated: bool

    def nearest(self, spec: PruningSpec) -> tuple[dict[str, float], bool]:
        """Return field of each target that can be counted → what is left where they come nearest, and if that is sure.

        Where everything that may go goes, it does not matter in which order. With `max_filters_removed` it does, and
        the solver has the last word: here its search is asked, and locally also the way that the ranking goes.
        """
        bounded = bounds(self.graph, spec)
        order = turns(bounded, None if self.is_repeated else 1.0)
        counted = limits(self.costs, goals(spec, self.baseline), self.baseline.file_bytes)
        widths, is_sure = solve(order, bounded).widths, True
        if spec.max_filters_removed is not None and counted:
            most = int(spec.max_filters_removed * self.baseline.num_channels)
            room = Room.of(bounded, widths, most)
            is_sure = room.is_small or bool(nearness(counted, widths) > 1)
            ranked = solve(order, bounded, max_removed=most).widths
            found = room.nearest(partial(nearness, counted), ranked)
            is_ranked = spec.scope == "local" and nearness(counted, ranked) < nearness(counted, found)
            widths = ranked if is_ranked else found
        return {limit.field: float(limit.count(widths)) for limit in counted}, is_sure

    def missed(self, spec: PruningSpec, nearest: Mapping[str, float]) -> list[str]:
        """Return the fields of the targets that do not hold."""
        wanted = goals(spec, self.baseline)
        return [name for name, amount in nearest.items() if amount > wanted[name]]

    def is_reached(self, spec: PruningSpec, changes: Mapping[str, object]) -> bool:
        """Tell whether the targets can be reached with some fields of the spec changed."""
        changed = spec.model_copy(update=dict(changes))
        return not self.missed(changed, self.nearest(changed)[0])


def require_reachable(
    graph: ChannelGraph, spec: PruningSpec, baseline: Baseline, costs: Costs, *, is_repeated: bool
) -> None:
    """Check the targets that can be counted against the widths that the spec permits.

    Args:
        graph: The traced model.
        spec: What is asked.
        baseline: The model before it is pruned.
        costs: The model's.
        is_repeated: Whether several prunes may follow each other, each by the ratios.

    Raises:
        InfeasibleError: One cannot be reached. The error names the nearest point and the fields that are in the
            way: those of which each alone would have to give way, else all that matter together.
    """
    asked = _Asked(graph, baseline, costs, is_repeated)
    nearest, is_sure = asked.nearest(spec)
    missed = asked.missed(spec, nearest)
    if not missed:
        return
    nearest, wanted = baseline.as_asked(nearest), baseline.as_asked(goals(spec, baseline))
    relaxed = {name: value for name, value in _RELAXED.items() if getattr(spec, name) != value}
    alone = [name for name in relaxed if asked.is_reached(spec, {name: relaxed[name]})]
    together = () if alone else relaxed if asked.is_reached(spec, relaxed) else ("model",)
    binding = tuple(alone or together)
    raise InfeasibleError(
        "The targets cannot be reached."
        if is_sure
        else "No widths were found at which the targets hold within max_filters_removed.",
        nearest=nearest,
        binding=binding,
        field=f"pruning.{missed[0]}",
        received=", ".join(f"at most {wanted[name]:,.0f} for {name}" for name in missed),
        expected="at least " + ", ".join(f"{nearest[name]:,.0f}{_share(nearest, baseline, name)}" for name in missed),
        hint=_HINTS.get(binding[0] if len(binding) == 1 else "", f"Relax {' or '.join(binding)}."),
    )


_HINTS = {"model": "With one channel left in each group, what remains is in layers that cannot be pruned: see explain."}


def _share(nearest: Mapping[str, float], baseline: Baseline, name: str) -> str:
    return f" ({nearest[name] / baseline.as_asked(baseline.amounts)[name]:.4f} of the original) for {name}"
