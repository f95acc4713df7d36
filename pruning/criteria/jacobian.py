"""The Jacobian criterion."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import DataCriterion


class Jacobian(DataCriterion):
    """Keep the channels whose weights, taken together layer by layer, change the loss most, to first order.

    For each layer that makes, normalises or reads the channel, the sum over its weights of weight times gradient is
    squared, averaged over the samples and added up over the layers. Weights of one layer may make up for each other
    in the sum, those of different layers may not. In this it differs from `taylor`, which squares the sum over all
    places where a channel is read, and has no say on the layers that make it.

    Source: Chen et al. 2025, Optimal Brain Connection, arXiv:2508.05521, the criterion only. Differs: squared for
    each sample by itself rather than for each batch, so that the batch size does not matter; weights that pass
    channels through one by one, as in a depthwise convolution, are left out.
    """

    observes = "members"

    def measure(self, observed: np.ndarray) -> np.ndarray:
        squares: np.ndarray = np.square(observed)
        return squares
