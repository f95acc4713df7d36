"""Average percentage of zeros."""

from __future__ import annotations

from typing import Any

from keras import ops

from pruning.criteria.base import DataCriterion


class APoZ(DataCriterion):
    """Remove the channels whose activations are most often zero.

    The importance is the share of activations that are not zero, where the channels are read: behind the ReLU, if
    there is one. Without a ReLU hardly anything is zero, and the criterion says nothing.

    Source: Hu et al. 2016, Network Trimming, arXiv:1607.03250. Differs: one minus their average percentage of zeros;
    over all tensors that carry the channels.
    """

    observes = "activations"

    def measure(self, observed: Any) -> Any:
        nonzero = ops.cast(ops.not_equal(observed, 0), "float32")
        return ops.mean(nonzero, axis=tuple(range(1, len(observed.shape) - 1)))
