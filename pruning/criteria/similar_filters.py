"""Removing one of two similar filters."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion
from pruning.errors import CriterionError


class SimilarFilters(ScoreCriterion):
    """Remove, again and again, one of the two most similar filters: of the two nearest, the one of smaller norm.

    The importance of a channel is the distance to its nearest neighbour at the moment when it is its turn, so that
    importance grows in the order of removal.

    Source: Li et al. 2018, Filter Level Pruning Based on Similar Feature Extraction for Convolutional Neural
    Networks, IEICE Transactions E101-D(4). Differs: pairs, nearest first, in place of clusters found by k-means
    (which is `kmeans`), and over all layers of the channel group.
    """

    def score(self, channels: Channels) -> np.ndarray:
        distances = channels.distances.copy()
        if not np.all(np.isfinite(distances)):
            raise CriterionError(f"The filters of group {channels.name!r} hold NaN or infinity.", field="model")
        norms = np.linalg.norm(channels.weights.astype(np.float64), axis=1)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.argmin(axis=1)
        gaps = distances.min(axis=1)
        importance, last = np.zeros(len(norms)), -np.inf
        left = np.ones(len(norms), dtype=bool)
        while np.count_nonzero(left) > 1:
            first = int(gaps.argmin())
            second = int(nearest[first])
            gone = max(first, second) if norms[first] == norms[second] else min(first, second, key=norms.__getitem__)
            # Of equal distances the one found first goes first.
            last = importance[gone] = max(gaps[first], np.nextafter(last, np.inf))
            left[gone] = False
            distances[gone, :] = distances[:, gone] = gaps[gone] = np.inf
            orphans = np.flatnonzero(left & (nearest == gone))
            nearest[orphans] = distances[orphans].argmin(axis=1)
            gaps[orphans] = distances[orphans].min(axis=1)
        importance[left] = np.nextafter(max(last, 0.0), np.inf)
        return importance
