"""From a criterion to numbers: how important each channel of a group is, and which of them stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pruning.criteria import Channels, ScoreCriterion, resolve_criterion
from pruning.errors import CriterionError, PruningError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.rules.parts import variables_of
from pruning.weights import read_weights


class Scoring:
    """A criterion, applied to the channel groups of one model.

    Args:
        graph: The traced model.
        criterion: What `PruningSpec.criterion` takes.
        seed: Seed of the whole prune.

    Raises:
        UnknownCriterionError: The criterion is not known.
    """

    def __init__(self, graph: ChannelGraph, criterion: Any, seed: int) -> None:
        self._graph = graph
        self._seed = seed
        self.criterion = resolve_criterion(criterion)

    def importance(self, group: ChannelGroup) -> np.ndarray:
        """Return the importance of each channel of a group, shape `(num_channels,)`, finite; higher means keep.

        Raises:
            CriterionError: The criterion failed, or chooses sets of channels and has no number for each.
        """
        criterion = self.criterion
        if not isinstance(criterion, ScoreCriterion):
            raise CriterionError(
                f"{type(criterion).__name__} has no importance for each channel, only a set of channels that stay.",
                field="pruning.criterion",
                received=type(criterion).__name__,
                expected="a criterion that scores channels, such as l1_norm",
                hint="Rank each group by itself, or choose another criterion.",
            )
        return self._guarded(group, lambda: criterion.importance(self._channels(group)), "finite numbers")

    def keep(self, group: ChannelGroup, num_keep: int) -> np.ndarray:
        """Return the ascending indices of the channels of a group that stay, shape `(num_keep,)`.

        Raises:
            CriterionError: The criterion failed, or did not choose `num_keep` different channels.
        """
        expected = f"{num_keep} different indices within 0..{group.num_channels - 1}"
        keep = self._guarded(
            group, lambda: np.asarray(self.criterion.select(self._channels(group), num_keep)), expected
        )
        valid = (
            keep.shape == (num_keep,)
            and np.issubdtype(keep.dtype, np.integer)
            and len(np.unique(keep)) == num_keep
            and keep.min() >= 0
            and keep.max() < group.num_channels
        )
        if not valid:
            raise CriterionError(
                f"{type(self.criterion).__name__} did not choose channels of group {group.name!r}.",
                field="pruning.criterion",
                received=f"array of shape {keep.shape} and type {keep.dtype}",
                expected=expected,
            )
        return np.sort(keep)

    def _channels(self, group: ChannelGroup) -> Channels:
        return Channels(
            group.name,
            group.num_channels,
            self._seed,
            lambda: filters(self._graph, group),
            lambda: scales(self._graph, group),
        )

    def _guarded(self, group: ChannelGroup, ask: Callable[[], np.ndarray], expected: str) -> np.ndarray:
        try:
            return ask()
        except PruningError:
            raise
        except Exception as error:
            # A user's own criterion may raise anything.
            raise CriterionError(
                f"{type(self.criterion).__name__} failed on group {group.name!r}.",
                field="pruning.criterion",
                received=f"{type(error).__name__}: {error}",
                expected=expected,
            ) from error


def filters(graph: ChannelGraph, group: ChannelGroup) -> list[np.ndarray]:
    """Return the filters of each layer that makes a group's channels, shapes `(num_channels, features)`.

    Only kernels count; a bias is no part of a filter.
    """
    parts = []
    for axis in graph.axes("out", group):
        variable = variables_of(axis.layer)[axis.variable_index]
        if len(variable.shape) > 1:
            weights = np.moveaxis(read_weights(variable), axis.axis, -1)
            weights = weights.reshape(-1, weights.shape[-1]).T
            rows = graph.rows(axis, group)
            whole = rows.size == len(weights) and np.array_equal(rows.reshape(-1), np.arange(len(weights)))
            parts.append((weights if whole else weights[rows]).reshape(group.num_channels, -1))
    return parts


def scales(graph: ChannelGraph, group: ChannelGroup) -> np.ndarray:
    """Return the factors by which normalisations scale a group's channels, shape `(num_channels, n)`."""
    parts = [np.zeros((group.num_channels, 0))]
    for axis in graph.axes("scale", group):
        parts.append(read_weights(variables_of(axis.layer)[axis.variable_index])[graph.rows(axis, group)])
    return np.concatenate(parts, axis=1)
