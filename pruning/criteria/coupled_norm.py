"""Norm of all coupled weights."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class CoupledNorm(ScoreCriterion):
    """Keep the channels with the largest squares, summed over all weights that go when they go.

    These are the kernels that make a channel, those that read it, and the factors of the normalisations between; a
    large filter that nobody reads counts for little. Comparable within a group; normalise before ranking globally.

    Source: Fang et al. 2023, DepGraph: Towards Any Structural Pruning, arXiv:2301.12900, section 3.3. Differs: no
    sparsity is trained into the groups first.
    """

    def score(self, channels: Channels) -> np.ndarray:
        squares = np.zeros(channels.num_channels)
        for block in channels.coupled_blocks():
            squares += np.square(block).sum(axis=1)
        return squares
