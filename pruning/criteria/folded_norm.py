"""Norm of filters with their BatchNormalization."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class FoldedNorm(ScoreCriterion):
    """Keep the channels whose filters have the largest Euclidean norm with their BatchNormalization folded in.

    A BatchNormalization behind a layer undoes whatever scale its filters have. In inference, the filter that counts
    is the kernel times gamma / sqrt(variance + epsilon). Where none follows directly, the filter is taken as it is.
    Comparable within a group; normalise before ranking globally.

    Source: Li et al. 2017, Pruning Filters for Efficient ConvNets, arXiv:1608.08710, section 4.4, on filters folded
    as in Jacob et al. 2018, arXiv:1712.05877, section 3.2. Differs: over all layers of the channel group.
    """

    def score(self, channels: Channels) -> np.ndarray:
        squares = np.zeros(channels.num_channels)
        for block in channels.folded_blocks():
            squares += np.square(block).sum(axis=1)
        return np.sqrt(squares)
