"""Prune until the model is fast enough, by measuring it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pruning.errors import InfeasibleError
from pruning.graph.groups import ChannelGraph
from pruning.measure import Latency
from pruning.selection.bounds import Bounds
from pruning.selection.goals import Stopwatch
from pruning.selection.targets import Solution, solve
from pruning.spec import PruningSpec
from pruning.surgery.cutting import prune_channels

_MIN_TOLERANCE, _MAX_TOLERANCE = 0.01, 0.05
_MAX_MEASUREMENTS = 8
_MAX_ROUNDS = 5
"""How often the smallest model is timed before it is refused: something else may have disturbed it."""


def fast_enough(
    graph: ChannelGraph,
    spec: PruningSpec,
    stopwatch: Stopwatch,
    bounds: Sequence[Bounds],
    order: np.ndarray,
    solution: Solution,
    seconds: float,
    max_removed: int | None = None,
) -> Solution:
    """Go on from a solution, if need be, until one call takes at most so many seconds.

    Each candidate is cut and timed; how long a call takes depends on the widths, not on which channels stay.
    The search ends within 1 % of the time, or within the spread of the measurement where that is more, up to 5 %,
    or after eight measurements with the widest model that was fast enough.

    Raises:
        InfeasibleError: Not even the smallest model that the spec permits is fast enough, and no ratio says
            that later prunes may go further.
    """

    def measured(candidate: Solution) -> Latency:
        keep = {
            bound.group.name: np.arange(width) for bound, width in zip(bounds, candidate.widths.tolist(), strict=True)
        }
        return stopwatch.measure(prune_channels(graph, graph.stays(keep)).model)

    if _holds(measured(solution), seconds):
        return solution
    # What is not on the way of the order holds by more than the order does: it is left as it is.
    smallest = solution if solution.num_steps is None else solve(order, bounds, max_removed=max_removed)
    fastest = measured(smallest)
    if spec.ratio is not None and not _holds(fastest, seconds):
        return smallest
    for _ in range(_MAX_ROUNDS - 1):
        if _holds(fastest, seconds):
            break
        fastest = min(fastest, measured(smallest), key=lambda timed: timed.seconds)
    if not _holds(fastest, seconds):
        raise InfeasibleError(
            "The model cannot be made fast enough.",
            nearest={"target_latency": fastest.seconds},
            binding=("model",),
            field="pruning.target_latency",
            received=f"at most {seconds:.6f} seconds",
            expected=f"at least {fastest.seconds:.6f} seconds, with every channel gone that may go",
            hint="Relax what keeps channels, or measure with the batch_size and runtime that will serve the model.",
        )
    if solution.num_steps is None or smallest.num_steps is None:
        return solution
    found = _search(lambda n: measured(solve(order[:n], bounds)), solution.num_steps, smallest.num_steps, seconds)
    return replace(solve(order[:found], bounds), stopped_by=("target_latency",))


def _search(measure: Callable[[int], Latency], low: int, high: int, seconds: float) -> int:
    """Return the fewest steps found, above `low` and up to `high`, after which a call is fast enough."""
    for _ in range(_MAX_MEASUREMENTS):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        timed = measure(middle)
        if abs(timed.seconds / seconds - 1) <= _tolerance(timed):
            return middle
        low, high = (low, middle) if timed.seconds < seconds else (middle, high)
    return high


def _holds(timed: Latency, seconds: float) -> bool:
    return timed.seconds <= seconds * (1 + _tolerance(timed))


def _tolerance(timed: Latency) -> float:
    return min(max(_MIN_TOLERANCE, timed.spread), _MAX_TOLERANCE)
