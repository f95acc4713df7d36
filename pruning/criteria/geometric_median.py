"""Filter pruning via geometric median."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class GeometricMedian(ScoreCriterion):
    """Remove the channels whose filters lie nearest the geometric median: the others can stand in for them.

    The importance of a filter is the sum of its Euclidean distances to all filters of the group, on the signed
    weights.

    Source: He et al. 2019, Filter Pruning via Geometric Median, arXiv:1811.00250. Differs: over all layers of
    the channel group.
    """

    def score(self, channels: Channels) -> np.ndarray:
        filters = np.asarray(channels.weights, dtype=np.float64)
        # Shifted to the mean, so that the difference of large squares does not lose small distances.
        filters = filters - filters.mean(axis=0)
        squares = np.square(filters).sum(axis=1)
        distances = squares[:, np.newaxis] + squares[np.newaxis, :] - 2 * filters @ filters.T
        importance: np.ndarray = np.sqrt(np.maximum(distances, 0)).sum(axis=1)
        return importance
