"""The oracle: what removing a channel really does to the loss."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import DataCriterion


class Oracle(DataCriterion):
    """Remove the channels without which the loss grows least, each measured by itself.

    The importance is the mean, over the samples, of the loss with the channel zeroed where it is read, less the loss
    of the whole model; it is negative where the model is better off without. Layers whose statistics run over several
    channels keep the channel in them.

    Source: Molchanov et al. 2017, Pruning Convolutional Neural Networks for Resource Efficient Inference,
    arXiv:1611.06440, section 2.2 (oracle-loss). Differs: for the channels that a group's layers share together.
    """

    observes = "losses"

    def measure(self, observed: np.ndarray) -> np.ndarray:
        return observed
