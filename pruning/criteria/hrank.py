"""High rank of feature maps."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from pruning.criteria.base import DataCriterion

_TOLERANCE = 1e-4


class HRank(DataCriterion):
    """Keep the channels whose feature maps have the highest rank on average.

    Maps of more than two axes are ranked as matrices of the first axis by all others; maps of one axis or none, as
    those of a dense layer, have rank 1 unless all is zero.

    Source: Lin et al. 2020, HRank: Filter Pruning using High-Rank Feature Map, arXiv:2002.10179. Differs: singular
    values below 1e-4 of the largest count as zero, so that rounding does not decide; taken where the channels are
    read, over all tensors that carry them.
    """

    observes = "activations"

    def measure(self, observed: Any) -> Any:
        maps = ops.moveaxis(ops.cast(observed, "float32"), -1, 1)
        if len(maps.shape) < 4:
            return ops.cast(
                ops.any(ops.not_equal(maps[..., None], 0), axis=tuple(range(2, len(maps.shape) + 1))), "float32"
            )
        maps = ops.reshape(maps, (-1, *maps.shape[1:3], math.prod(maps.shape[3:])))
        values = ops.svd(maps, compute_uv=False)
        significant = ops.logical_and(values > _TOLERANCE * ops.max(values, axis=-1, keepdims=True), values > 0)
        return ops.sum(ops.cast(significant, "float32"), axis=-1)
