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

    block = 1024

    def score(self, channels: Channels) -> np.ndarray:
        weights = channels.weights
        squares = np.zeros(channels.num_channels)
        # In blocks, because a temporary of the size of VGG16's first dense kernel costs more than the sum.
        for start in range(0, weights.shape[1], self.block):
            block = weights[:, start : start + self.block].astype(np.float32, copy=False)
            squares += np.square(block).sum(axis=1, dtype=np.float64)
        return np.sqrt(squares)
