"""The one solver: the widths at which every limit holds, as wide as can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pruning.selection.bounds import Bounds
from pruning.selection.room import Room, changes

_CLOSE, _TOLERANCE = 1e-3, 1e-2
"""How far below the limit that binds the solver is content to stay, and how far before it looks around."""


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
        num_steps: Steps of the order that were taken; `None` where others had to be taken.
        stopped_by: The fields whose limits ended it before the ratios did.
    """

    widths: np.ndarray
    wanted: np.ndarray
    num_steps: int | None
    stopped_by: tuple[str, ...] = ()


def solve(
    order: np.ndarray, bounds: Sequence[Bounds], limits: Sequence[Limit] = (), max_removed: int | None = None
) -> Solution:
    """Remove channels in order until all limits hold, then give back what they leave room for.

    What is left lies within 0.1 % below the limit that binds, or no group could have one step of its width back
    without passing it; where it would lie more than 1 % below, groups exchange widths if that brings it within
    1 %, as far as 200,000 combinations reach, and no further than the order itself goes in any group. Where
    `max_removed` ends the order before the limits hold, other widths at which they do are looked for. Where the
    limits are out of reach, all that may go is gone.

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
    enough = _first(0, num_steps, lambda n: bool(nearness(limits, widths(n)) <= 1))
    room = Room.of(bounds, widths(len(order)), max_removed)
    ranked = found = widths(enough)
    if nearness(limits, ranked) > 1:
        if stopped_by and nearness(limits, room.least) <= 1:
            found = room.nearest(partial(nearness, limits), ranked)
        if nearness(limits, found) > 1:
            return Solution(ranked, wanted(enough), enough, stopped_by)
    filled = _exchanged(_filled(found, bounds, limits), room, limits)
    if np.any(filled > room.least):
        most = 0.99 * nearness(limits, filled)
        binding = tuple(limit.field for limit in limits if limit.count(filled) / limit.at_most >= most)
        stopped_by = binding if found is ranked else (*binding, *stopped_by)
    unrounded = np.where(filled == ranked, wanted(enough), filled)
    return Solution(filled, unrounded, enough if found is ranked else None, stopped_by)


def rounded(bounds: Sequence[Bounds], widths: np.ndarray) -> np.ndarray:
    """Round the width of each group up to one that may be left."""
    return np.array([bound.rounded(width) for bound, width in zip(bounds, widths, strict=True)], dtype=np.int64)


def _filled(widths: np.ndarray, bounds: Sequence[Bounds], limits: Sequence[Limit]) -> np.ndarray:
    """Widen single groups by single steps, the largest that fits first, until the limit is near or none fits."""
    while nearness(limits, widths) < 1 - _CLOSE:
        wider = rounded(bounds, widths + 1)
        growing = np.flatnonzero(wider > widths)
        candidates = np.tile(widths, (len(growing), 1))
        candidates[np.arange(len(growing)), growing] = wider[growing]
        near = nearness(limits, candidates)
        near[near > 1] = 0
        if not np.any(near):
            break
        widths = candidates[np.argmax(near)]
    return widths


def _exchanged(widths: np.ndarray, room: Room, limits: Sequence[Limit]) -> np.ndarray:
    """Look around widths that are not near a limit: with few groups or coarse steps others may be.

    Of those within the tolerance the ones that change least are taken; without any the widths stay.
    """
    if nearness(limits, widths) >= 1 - _TOLERANCE:
        return widths
    candidates = room.combinations(widths)
    near = nearness(limits, candidates)
    candidates = candidates[(near >= 1 - _TOLERANCE) & (near <= 1)]
    if not len(candidates):
        return widths
    found: np.ndarray = candidates[np.argmin(changes(candidates, widths))]
    return found


def nearness(limits: Sequence[Limit], widths: np.ndarray) -> np.ndarray:
    """Return what is left as a share of the limit that binds most; above 1 where one does not hold."""
    nearest: np.ndarray = np.max([limit.count(widths) / limit.at_most for limit in limits], axis=0)
    return nearest


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number from low to high at which a monotone condition holds; high if none below does."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
