"""Mean activation."""

from __future__ import annotations

from typing import Any

from keras import ops

from pruning.criteria.base import DataCriterion


class MeanActivation(DataCriterion):
    """Keep the channels whose activations are largest on average, in absolute value.

    Source: Molchanov et al. 2017, Pruning Convolutional Neural Networks for Resource Efficient Inference,
    arXiv:1611.06440, section 2.2. Differs: of the absolute value, for activations other than ReLU; taken where the
    channels are read, as an average over all tensors that carry them.
    """

    observes = "activations"

    def measure(self, observed: Any) -> Any:
        return ops.mean(ops.abs(observed), axis=tuple(range(1, len(observed.shape) - 1)))
