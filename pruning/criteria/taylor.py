"""Importance estimation by a Taylor expansion of the loss."""

from __future__ import annotations

import numpy as np

from pruning.criteria.base import DataCriterion


class Taylor(DataCriterion):
    """Keep the channels whose removal would change the loss most, to first order.

    The derivative of the loss with respect to a gate on the channel is the change that closing the gate would make;
    its square is averaged over the samples.

    Source: Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, arXiv:1906.10771, equation 8
    with gates. Differs: the gates sit where the channels are read, so that a group's layers share one; squared for
    each sample by itself rather than for each batch, so that the batch size does not matter.
    """

    observes = "gradients"

    def measure(self, observed: np.ndarray) -> np.ndarray:
        squares: np.ndarray = np.square(observed)
        return squares
