"""Network slimming."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import Channels, ScoreCriterion
from pruning.errors import CriterionError


class BatchNormScale(ScoreCriterion):
    """Keep the channels that a normalisation scales up most: the largest |gamma|, summed where there are several.

    A channel group that no normalisation scales has no such number and is refused by name: nothing else that it
    could be ranked by would be comparable.

    Source: Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming, arXiv:1708.06519.
    Differs: summed over the whole channel group. It says most of a model trained with an L1 penalty on gamma.
    """

    def score(self, channels: Channels) -> np.ndarray:
        if channels.scales.shape[1] == 0:
            raise CriterionError(
                f"No normalisation with a gamma scales the channels of group {channels.name!r}.",
                field="pruning.criterion",
                received="batchnorm_scale",
                expected="a BatchNormalization with scale=True on every pruned group",
                hint=f"Leave the group out with exclude: [{channels.name!r}], or choose another criterion.",
            )
        importance: np.ndarray = np.abs(channels.scales).sum(axis=1, dtype=np.float64)
        return importance
