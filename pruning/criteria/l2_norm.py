"""L2-norm pruning."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class L2Norm(ScoreCriterion):
    """Keep the channels whose filters have the largest Euclidean norm.

    Comparable within a group; normalise before ranking globally.

    Source: Li et al. 2017, Pruning Filters for Efficient ConvNets, arXiv:1608.08710, section 4.4. Differs: over
    all layers of the channel group.
    """

    def score(self, channels: Channels) -> np.ndarray:
        squares = np.zeros(channels.num_channels)
        for block in channels.blocks():
            squares += np.square(block).sum(axis=1)
        return np.sqrt(squares)
