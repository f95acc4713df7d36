"""The one solver: the widths at which every limit holds, as wide as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pruning.selection.bounds import Bounds

_CLOSE, _TOLERANCE = 1e-3, 1e-2
"""How far below the limit that binds the solver is content to stay, and how far before it looks around."""

_MAX_NEIGHBOURS = 200_000


@dataclass(frozen=True)
class Limit:
    """The most that may be left of something.

    Attributes:
        field: The field of the spec that asks for it.
        at_most: The most that may be left.
        count: Widths, shape `(..., num_groups)`, to what is left, shape `(...)`; it never grows when a
            width shrinks.
    """

    field: str
    at_most: float
    count: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Solution:
    """What the solver found.

    Attributes:
        widths: Channels left of each group, shape `(num_groups,)`.
        wanted: The same before rounding up.
        num_steps: Steps of the order that were taken.
        stopped_by: The fields whose limits ended it before the ratios did.
    """

    widths: np.ndarray
    wanted: np.ndarray
    num_steps: int
    stopped_by: tuple[str, ...] = ()


def solve(
    order: np.ndarray, bounds: Sequence[Bounds], limits: Sequence[Limit] = (), max_removed: int | None = None
) -> Solution:
    """Remove channels in order until all limits hold, then give back what they leave room for.

    What is left lies within 0.1 % below the limit that binds, or no group could have one step of its width back
    without passing it; where it would lie more than 1 % below, groups exchange widths to come nearer, as far
    as 200,000 combinations reach. Where the limits are out of reach, all that may go is gone.

    Args:
        order: Which group loses a channel, step by step, shape `(num_steps,)`.
        bounds: Of each group, in the order of the groups.
        limits: What must hold; none to go to the end of the order.
        max_removed: Most channels that may go.
    """
    full = np.array([bound.group.num_channels for bound in bounds], dtype=np.int64)

    def wanted(num_steps: int) -> np.ndarray:
        return full - np.bincount(order[:num_steps], minlength=len(full))

    def widths(num_steps: int) -> np.ndarray:
        return rounded(bounds, wanted(num_steps))

    stopped_by: tuple[str, ...] = ()
    num_steps = len(order)
    if max_removed is not None:
        num_steps = _first(0, num_steps + 1, lambda n: bool((full - widths(n)).sum() > max_removed)) - 1
        if num_steps < len(order):
            stopped_by = ("max_filters_removed",)
    if not limits:
        return Solution(widths(num_steps), wanted(num_steps), num_steps, stopped_by)
    enough = _first(0, num_steps, lambda n: bool(_nearness(limits, widths(n)) <= 1))
    found = widths(enough)
    if _nearness(limits, found) > 1:
        return Solution(found, wanted(enough), enough, stopped_by)
    filled = _exchanged(_filled(found, bounds, limits), bounds, limits)
    if enough < len(order):
        nearest = 0.99 * _nearness(limits, filled)
        stopped_by = tuple(limit.field for limit in limits if limit.count(filled) / limit.at_most >= nearest)
    unrounded = np.where(filled == found, wanted(enough), filled)
    return Solution(filled, unrounded, enough, stopped_by)


def rounded(bounds: Sequence[Bounds], widths: np.ndarray) -> np.ndarray:
    """Round the width of each group up to one that may be left."""
    return np.array([bound.rounded(width) for bound, width in zip(bounds, widths, strict=True)], dtype=np.int64)


def _filled(widths: np.ndarray, bounds: Sequence[Bounds], limits: Sequence[Limit]) -> np.ndarray:
    """Widen single groups by single steps, the largest that fits first, until the limit is near or none fits."""
    while _nearness(limits, widths) < 1 - _CLOSE:
        wider = rounded(bounds, widths + 1)
        growing = np.flatnonzero(wider > widths)
        candidates = np.tile(widths, (len(growing), 1))
        candidates[np.arange(len(growing)), growing] = wider[growing]
        nearness = _nearness(limits, candidates)
        nearness[nearness > 1] = 0
        if not np.any(nearness):
            break
        widths = candidates[np.argmax(nearness)]
    return widths


def _exchanged(widths: np.ndarray, bounds: Sequence[Bounds], limits: Sequence[Limit]) -> np.ndarray:
    """Look around widths that are not near a limit: with few groups or coarse steps others may be nearer.

    Of those within the tolerance the ones that change least are taken, otherwise the nearest.
    """
    reach = int((_MAX_NEIGHBOURS ** (1 / len(bounds)) - 1) / 2)
    if reach == 0 or _nearness(limits, widths) >= 1 - _TOLERANCE:
        return widths
    ladders = []
    for bound, width in zip(bounds, widths, strict=True):
        ladder = np.unique(bound.rounded(np.arange(bound.least, bound.group.num_channels + 1)))
        place = int(np.searchsorted(ladder, width))
        ladders.append(ladder[max(0, place - reach) : place + reach + 1])
    candidates = np.stack([axis.reshape(-1) for axis in np.meshgrid(*ladders, indexing="ij")], axis=-1)
    nearness = _nearness(limits, candidates)
    nearness[nearness > 1] = 0
    changes = np.abs(candidates / widths - 1).sum(axis=1)
    found: np.ndarray = candidates[np.lexsort((changes, -np.minimum(nearness, 1 - _TOLERANCE)))[0]]
    return found


def _nearness(limits: Sequence[Limit], widths: np.ndarray) -> np.ndarray:
    """Return what is left as a share of the limit that binds most; above 1 where one does not hold."""
    nearness: np.ndarray = np.max([limit.count(widths) / limit.at_most for limit in limits], axis=0)
    return nearness


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number from low to high at which a monotone condition holds; high if none below does."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
