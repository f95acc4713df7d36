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
        importance: np.ndarray = channels.distances.sum(axis=1)
        return importance
