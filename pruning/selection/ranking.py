"""In which order channels go, locally or globally, and which of a group then stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pruning.counting.costs import Costs
from pruning.criteria import ScoreCriterion
from pruning.errors import SpecError
from pruning.graph.groups import ChannelGraph
from pruning.scoring.importance import Scoring
from pruning.selection.bounds import Bounds
from pruning.selection.sensitivity import Sensitivity
from pruning.spec import Normalisation, PruningSpec


class Ranking:
    """The order in which the channels of one model go.

    Args:
        graph: The traced model.
        spec: Criterion, scope and what makes a global ranking fair.
        scoring: The criterion, applied to the graph.
        costs: What the graph's channels cost.
        sensitivity: What groups lose by, where the scope says so.

    Raises:
        SpecError: The ranking is to be global, and the criterion has no number for each channel.
    """

    def __init__(
        self,
        graph: ChannelGraph,
        spec: PruningSpec,
        scoring: Scoring,
        costs: Costs,
        sensitivity: Sensitivity | None = None,
    ) -> None:
        self._graph = graph
        self._spec = spec
        self._scoring = scoring
        self._costs = costs
        self._sensitivity = sensitivity
        self._importances: dict[str, np.ndarray] = {}
        if spec.scope == "global" and not isinstance(scoring.criterion, ScoreCriterion):
            raise SpecError(
                "A global ranking needs a number for each channel, and this criterion chooses sets.",
                field="pruning.scope",
                received=f"scope global with {type(scoring.criterion).__name__}",
                expected="scope local, or a criterion that scores channels, such as l1_norm",
            )

    def order(self, bounds: Sequence[Bounds], scale: float | None = 1.0) -> np.ndarray:
        """Return which group loses a channel, step by step, as far as bounds and ratios allow.

        Locally the groups take turns, each at the pace of its ratio; globally the channel of the smallest
        normalised importance goes next, whichever group it is in; by sensitivity that of the group whose next channel
        costs the loss least.

        Args:
            bounds: Of each group.
            scale: Factor on every ratio; `None` to go on until nothing more may go.

        Returns:
            Positions in `bounds`, shape `(num_steps,)`.
        """
        return turns(bounds, scale) if self._spec.scope == "local" else self._by_price(bounds, scale)

    def keep(self, bound: Bounds, num_keep: int) -> np.ndarray:
        """Return the ascending indices of a group's channels that stay, shape `(num_keep,)`."""
        if self._spec.scope != "global":
            return self._scoring.keep(bound.group, num_keep)
        # Stable, so that of equals the first stays, as within a group.
        keep: np.ndarray = np.sort(np.argsort(-self._importance(bound), kind="stable")[:num_keep])
        return keep

    def _by_price(self, bounds: Sequence[Bounds], scale: float | None) -> np.ndarray:
        keys, groups, shares = [], [], []
        for position, (bound, cost) in enumerate(zip(bounds, self._costs_of_one(), strict=True)):
            most = bound.group.num_channels - bound.least
            if bound.ratio is not None and bound.is_own and (scale is not None or bound.ratio == 0):
                overdue = bound.group.num_channels - bound.wanted
                most = min(most, overdue + _share(bound.ratio * (scale or 0.0), bound.wanted))
            if most:
                keys.append(self._prices(bound)[:most] / cost)
                groups.append(np.full(most, position))
                # What costs nothing goes in turns; of equals in importance the earlier group's goes first.
                is_level = self._sensitivity is not None
                shares.append(np.arange(most) / bound.group.num_channels if is_level else np.zeros(most))
        order = _merged(keys, groups, shares)
        if scale is None or self._spec.ratio is None:
            return order
        free = [bound for bound in bounds if bound.ratio != 0]
        overdue = sum(bound.group.num_channels - bound.wanted for bound in free)
        return order[: overdue + _share(self._spec.ratio * scale, sum(bound.wanted for bound in free))]

    def _prices(self, bound: Bounds) -> np.ndarray:
        """Return what each further channel of a group is thought to cost, ascending, shape `(num_channels,)`."""
        if self._sensitivity is not None:
            return self._sensitivity.prices(bound.group.name)
        return np.sort(normalise(self._importance(bound), self._spec.normalisation))

    def _importance(self, bound: Bounds) -> np.ndarray:
        name = bound.group.name
        if name not in self._importances:
            self._importances[name] = self._scoring.importance(bound.group)
        return self._importances[name]

    def _costs_of_one(self) -> np.ndarray:
        """Return what removing one channel of each group saves, in the unit of the spec; shape `(num_groups,)`."""
        widths, unit = self._costs.widths, self._spec.weighed_per
        if unit == "channel":
            return np.ones(len(widths))
        # Where they cannot be counted, MACs were not asked for: they only stand for a latency.
        is_counted = unit == "mac" and self._costs.uncounted is None
        count = self._costs.macs if is_counted else self._costs.params
        saved: np.ndarray = count(widths) - count(widths - np.eye(len(widths), dtype=np.int64))
        costs: np.ndarray = np.maximum(saved, 1).astype(np.float64)
        return costs


def turns(bounds: Sequence[Bounds], scale: float | None) -> np.ndarray:
    """Let groups lose channels in turns, each at the pace of its ratio; see `Ranking.order`."""
    keys, groups = [], []
    for position, bound in enumerate(bounds):
        pace = 1.0 if bound.ratio is None else bound.ratio
        steps = np.arange(1, bound.wanted - bound.least + 1 if pace > 0 else 1)
        # The ratio, rounded to whole channels, asks for the n-th of them from this share of it on.
        key = (steps - 0.5) / ((pace or 1.0) * bound.wanted)
        if scale is not None and bound.ratio is not None:
            key = key[key <= scale * (1 + 1e-9)]
        overdue = np.zeros(bound.group.num_channels - bound.wanted)
        keys.append(np.concatenate([overdue, key]))
        groups.append(np.full(len(keys[-1]), position))
    return _merged(keys, groups)


def normalise(importance: np.ndarray, how: Normalisation) -> np.ndarray:
    """Make the importances of one group comparable with those of others.

    Sources: `l2`, Molchanov et al. 2017, arXiv:1611.06440; `max`, `mean`, `sum` and `standard` are compared
    for structural pruning in Fang et al. 2023, DepGraph, arXiv:2301.12900, and its code. Differs: magnitudes
    are taken where importances are negative, and a group of zeros stays one.

    Args:
        importance: Shape `(num_channels,)`.
        how: See `PruningSpec.normalisation`.

    Returns:
        Shape `(num_channels,)`, in the same order of importance.
    """
    return _NORMALISATIONS[how](importance)


def _over(measure: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda importance: importance / (measure(np.abs(importance)) or 1.0)


def _standard(importance: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (importance - importance.mean()) / (importance.std() or 1.0)
    return scaled


def _rank(importance: np.ndarray) -> np.ndarray:
    ranks = np.empty(len(importance))
    ranks[np.argsort(importance, kind="stable")] = np.arange(len(importance)) / len(importance)
    return ranks


_NORMALISATIONS: dict[Normalisation, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda importance: importance,
    "max": _over(np.max),
    "mean": _over(np.mean),
    "sum": _over(np.sum),
    "l2": _over(lambda magnitudes: float(np.linalg.norm(magnitudes))),
    "standard": _standard,
    "rank": _rank,
}


def _share(ratio: float, num_channels: int) -> int:
    return int(ratio * (1 + 1e-9) * num_channels + 0.5)  # As in turns.


def _merged(
    keys: Sequence[np.ndarray], groups: Sequence[np.ndarray], shares: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """Return groups by ascending key; of equal keys that of the smaller share first, then the earlier group."""
    if not keys:
        return np.zeros(0, dtype=np.int64)
    keys = [np.concatenate(keys)] if shares is None else [np.concatenate(shares), np.concatenate(keys)]
    order = np.lexsort(keys)
    merged: np.ndarray = np.concatenate(groups)[order]
    return merged.astype(np.int64)
