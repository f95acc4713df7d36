"""Which samples are measured on, and which judge what came of it."""

from __future__ import annotations

import numpy as np

MAX_MEASURED, MAX_RECONSTRUCTED, MAX_HELD_OUT = 2048, 1024, 1024
_HELD_OUT_SHARE = 0.2


def held_apart(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of two disjoint random parts of the training samples: to measure on, and to judge by."""
    order = np.random.default_rng(seed).permutation(num_samples)
    num_held_out = min(MAX_HELD_OUT, max(1, int(_HELD_OUT_SHARE * num_samples)))
    return order[num_held_out : num_held_out + MAX_MEASURED], order[:num_held_out]
