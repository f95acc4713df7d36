"""Layer-adaptive magnitude-based pruning."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class Lamp(ScoreCriterion):
    """Keep the channels that hold a large share of what is left when all smaller ones are gone.

    The importance of a channel is its squared norm over the sum of the squared norms of all channels that are not
    smaller. The largest channel of each group has importance 1, so that scores of different groups can be compared
    as they are: rank globally, without further normalisation. Within a group the order is that of `l2_norm`.

    Source: Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning, arXiv:2010.07611. Differs:
    the score of a single weight there is that of a whole channel, over all layers of the channel group, here.
    """

    def score(self, channels: Channels) -> np.ndarray:
        squares = np.zeros(channels.num_channels)
        for block in channels.blocks():
            squares += np.square(block).sum(axis=1, dtype=np.float64)
        # Ascending, and of equals the first comes last, so that it stays.
        order = np.lexsort((-np.arange(len(squares)), squares))
        left = np.cumsum(squares[order][::-1])[::-1]
        importance = np.zeros(len(squares))
        importance[order] = np.divide(squares[order], left, out=np.zeros(len(left)), where=left != 0)
        importance[order[-1]] = 1.0
        return importance
