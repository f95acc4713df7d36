"""Random pruning: the baseline."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class Random(ScoreCriterion):
    """Remove channels at random.

    Source: Mittal et al. 2018, Recovering from Random Pruning, arXiv:1801.10447.
    """

    def score(self, channels: Channels) -> np.ndarray:
        return channels.generator().random(channels.num_channels)
