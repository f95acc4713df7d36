"""How a spec divides the work over iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real

from pruning.errors import SpecError, first_line
from pruning.selection.goals import Baseline, goals
from pruning.selection.planning import Extent
from pruning.spec import PruningSpec

MAX_ITERATIONS = 1000
_EXPECTED = "a finite number at least 0"


class Iterations:
    """The extents of the prunes of one run.

    Args:
        spec: What is asked.
        baseline: The model before the first prune.

    Attributes:
        count: How many prunes there are at most, `None` where only a limit decides.
        goals: Field of each target → the most that may be left in the end.

    Raises:
        SpecError: The user's schedule returned something that is no factor.
    """

    def __init__(self, spec: PruningSpec, baseline: Baseline) -> None:
        self.count = _count(spec)
        self.goals = goals(spec, baseline)
        self._spec = spec
        self._baseline = baseline
        self._factors = [_factor(spec, index, self.count) for index in range(self.count or 0)]
        if self._factors and not any(self._factors):
            raise _wrong_factor("0.0", "at least one factor above 0")

    def extent(self, index: int, num_channels: int, wanted: Mapping[str, int]) -> Extent:
        """Return how far the prune at `index`, from 0, may go.

        With a ratio each prune may go all the way to the targets; without one the way to them, in equal
        shares of what is left each time, is divided as the schedule says.

        Args:
            index: Number of the prune.
            num_channels: Channels of all groups that are left now.
            wanted: Group → the width that earlier prunes would have left without rounding up.
        """
        baseline, most = self._baseline, self._spec.max_filters_removed
        share = self._share(index)
        # Where targets say how far to go, the largest share to remove only ends it.
        most_now = most if most is None or self.goals else most * share
        removed = baseline.num_channels - num_channels
        return Extent(
            scale=self.scale(index),
            at_most={
                name: baseline.amounts[name] * (goal / baseline.amounts[name]) ** share if share < 1 else goal
                for name, goal in self.goals.items()
            },
            max_removed_channels=None if most_now is None else max(0, int(most_now * baseline.num_channels) - removed),
            file_bytes=baseline.file_bytes,
            stopwatch=baseline.stopwatch,
            wanted=wanted,
            at_start=baseline.widths,
        )

    def scale(self, index: int) -> float:
        """Return the factor on every ratio at a prune."""
        return self._factors[index] if self._factors else _factor(self._spec, index, None)

    def expected(self) -> int:
        """Guess how many prunes there will be, for the progress."""
        if self._spec.ratio is None or not self.goals:
            return self.count or 10
        left = min(goal / self._baseline.amounts[name] for name, goal in self.goals.items())
        # Parameters and multiply-accumulates fall with the square of the channels.
        needed = math.log(min(left, 0.99)) / (2 * math.log(1 - self._spec.ratio))
        return min(self.count or MAX_ITERATIONS, max(1, math.ceil(needed)))

    def expected_left(self) -> float:
        """Guess which share of the parameters or multiply-accumulates will be left, for the length of the training."""
        targets = [goal / self._baseline.amounts[name] for name, goal in self.goals.items()]
        shares = [min(targets)] if targets else []
        if self._spec.ratio is not None:
            # Both fall with the square of the channels.
            factors = [self.scale(index) for index in range(self.expected())]
            shares.append(math.prod(max(0.0, 1 - self._spec.ratio * factor) ** 2 for factor in factors))
        if self._spec.max_filters_removed is not None:
            shares.append((1 - self._spec.max_filters_removed) ** 2)
        # Targets and ratios stop at whichever comes first.
        return min(1.0, max(shares, default=0.5))

    def _share(self, index: int) -> float:
        if not self._factors or self._spec.ratio is not None or index == len(self._factors) - 1:
            return 1.0
        return sum(self._factors[: index + 1]) / sum(self._factors)


def _count(spec: PruningSpec) -> int | None:
    if spec.schedule == "one_shot":
        return 1
    if spec.num_iterations is not None:
        return spec.num_iterations
    limited = spec.targets or spec.max_filters_removed is not None or spec.max_metric_drop is not None
    return None if limited and spec.ratio is not None else 1


def _factor(spec: PruningSpec, index: int, count: int | None) -> float:
    if callable(spec.schedule):
        try:
            factor = spec.schedule(index + 1, count or 1)
        except Exception as error:
            # A user's own function may raise anything.
            raise _wrong_factor(f"{type(error).__name__}: {first_line(error)}", _EXPECTED) from error
        # NumPy's scalars of any size are real numbers as well.
        if not isinstance(factor, Real) or not math.isfinite(factor) or factor < 0:
            raise _wrong_factor(repr(factor), _EXPECTED)
        return float(factor)
    if spec.schedule == "linear" and count is not None:
        return (count - index) / count
    return 0.5**index if spec.schedule == "exponential" else 1.0


def _wrong_factor(received: str, expected: str) -> SpecError:
    return SpecError(
        "The schedule returns no factors for the iterations.",
        field="pruning.schedule",
        received=received[:200],
        expected=expected,
    )
