"""The widths that one prune may leave, and a search among them where the ranking's own way does not do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pruning.selection.bounds import Bounds

_MAX_COMBINATIONS = 200_000

_FINENESS = 64
"""The greedy search spends this share of what may still go at once, and single channels in the end."""


@dataclass(frozen=True)
class Room:
    """The widths that one prune may leave.

    Attributes:
        full: Channels of each group, shape `(num_groups,)`.
        least: Fewest that bounds and ratios let be left, likewise.
        steps: Widths below `full` are multiples of these, likewise.
        max_removed: Most channels that may go altogether; `None`: no limit.
    """

    full: np.ndarray
    least: np.ndarray
    steps: np.ndarray
    max_removed: int | None = None

    @classmethod
    def of(cls, bounds: Sequence[Bounds], least: np.ndarray, max_removed: int | None = None) -> Room:
        """Return the room of groups whose bounds and ratios let so few channels be left."""
        full = np.array([bound.group.num_channels for bound in bounds], dtype=np.int64)
        return cls(full, least, np.array([bound.round_to for bound in bounds], dtype=np.int64), max_removed)

    @property
    def is_small(self) -> bool:
        """Whether all combinations of widths can be looked at."""
        return math.prod(len(ladder) for ladder in self._ladders()) <= _MAX_COMBINATIONS

    def combinations(self, widths: np.ndarray) -> np.ndarray:
        """Return combinations of widths, shape `(num_combinations, num_groups)`: all, or those round some widths."""
        ladders = self._ladders()
        free = [group for group, ladder in enumerate(ladders) if len(ladder) > 1]
        if not self.is_small:
            reach = int((_MAX_COMBINATIONS ** (1 / len(free)) - 1) / 2)
            for group in free:
                place = int(np.searchsorted(ladders[group], widths[group]))
                ladders[group] = ladders[group][max(0, place - reach) : place + reach + 1]
        free = [group for group in free if len(ladders[group]) > 1]
        axes = np.meshgrid(*(ladders[group] for group in free), indexing="ij")
        candidates = np.tile(widths, (math.prod(len(ladders[group]) for group in free), 1))
        for group, axis in zip(free, axes, strict=True):
            candidates[:, group] = axis.reshape(-1)
        if self.max_removed is not None:
            candidates = candidates[(self.full - candidates).sum(axis=1) <= self.max_removed]
        return candidates

    def nearest(self, nearness: Callable[[np.ndarray], np.ndarray], start: np.ndarray) -> np.ndarray:
        """Return widths at which the limits hold, or come as near to it as was found.

        Of a few combinations that hold the ones nearest to `start` are taken; among many the search is greedy,
        and does not depend on `start`.

        Args:
            nearness: Widths, shape `(..., num_groups)`, to what is left as a share of the limit, shape `(...)`.
            start: What the ranking would leave, shape `(num_groups,)`.
        """
        if not self.is_small:
            return self._greedy(nearness)
        candidates = self.combinations(start)
        best = np.lexsort((changes(candidates, start), np.maximum(nearness(candidates), 1)))[0]
        found: np.ndarray = candidates[best]
        return found

    def _greedy(self, nearness: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Narrow the group that brings most for each channel, again and again."""
        widths, now = self.full, float(nearness(self.full))
        left = int((self.full - self.least).sum()) if self.max_removed is None else self.max_removed
        while now > 1:
            lower = np.maximum(self.least, (widths - max(1, left // _FINENESS)) // self.steps * self.steps)
            narrower = np.flatnonzero((lower < widths) & (widths - lower <= left))
            candidates = np.tile(widths, (len(narrower), 1))
            candidates[np.arange(len(narrower)), narrower] = lower[narrower]
            gains = (now - nearness(candidates)) / (widths - lower)[narrower]
            if not np.any(gains > 0):
                break
            best = int(np.argmax(gains))
            left -= int((widths - candidates[best]).sum())
            widths, now = candidates[best], float(nearness(candidates[best]))
        return widths

    def _ladders(self) -> list[np.ndarray]:
        """Return the ascending widths that each group may have."""
        return [
            np.unique(np.append(np.arange(least, full, step), full))
            for least, full, step in zip(self.least, self.full, self.steps, strict=True)
        ]


def changes(candidates: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return how much combinations change widths: the sum of the shares, shape `(num_combinations,)`."""
    total: np.ndarray = np.abs(candidates / widths - 1).sum(axis=1)
    return total
