"""Network slimming."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion


class BatchNormScale(ScoreCriterion):
    """Keep the channels that a normalisation scales up most: the largest |gamma|, summed where there are several.

    Channel groups that no normalization scales have no such number and are refused by name: nothing else that it
    could be ranked by would be comparable.

    Source: Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming, arXiv:1708.06519.
    Differs: summed over the whole channel group. It says most of a model trained with an L1 penalty on gamma.
    """

    def objection(self, channels: Channels) -> str | None:
        has_none = channels.scales.shape[1] == 0
        return "no normalization with a gamma (scale=True) scales the channels" if has_none else None

    def score(self, channels: Channels) -> np.ndarray:
        importance: np.ndarray = np.abs(channels.scales).sum(axis=1, dtype=np.float64)
        return importance
