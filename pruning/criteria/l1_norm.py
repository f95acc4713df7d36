"""L1-norm pruning."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class L1Norm(ScoreCriterion):
    """Keep the channels whose filters have the largest sum of absolute weights.

    Comparable within a group; normalise before ranking globally.

    Source: Li et al. 2017, Pruning Filters for Efficient ConvNets, arXiv:1608.08710. Differs: summed over
    all layers of the channel group.
    """

    def score(self, channels: Channels) -> np.ndarray:
        importance = np.zeros(channels.num_channels)
        for block in channels.blocks():
            importance += np.abs(block).sum(axis=1)
        return importance
