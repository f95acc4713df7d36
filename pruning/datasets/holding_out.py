"""Which samples are held out for validation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pruning.datasets.rows import Samples


def held_out(targets: Mapping[str, Samples], num_samples: int, num_held: int, seed: int) -> np.ndarray:
    """Draw samples at random; where targets are classes, from each class its share, to within one sample.

    Args:
        targets: By output. Classes are whole numbers, one for each sample, or one-hot vectors. The classes of the first
            output that has them count.
        num_samples: How many samples there are.
        num_held: How many to draw.
        seed: Seed of the draw.

    Returns:
        Numbers of the samples, in ascending order, shape `(num_held,)`.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(num_samples)
    classes = next((found for each in targets.values() if (found := _classes(each)) is not None), None)
    if classes is None:
        return np.sort(order[:num_held])
    # Every so many samples one, in an order in which classes follow each other: systematic sampling.
    order = order[np.argsort(classes[order], kind="stable")]
    at = (np.arange(num_held) + generator.random()) * num_samples / num_held
    return np.sort(order[at.astype(np.int64)])


def _classes(target: Samples) -> np.ndarray | None:
    """Return the class of each sample, or `None` if targets are something else."""
    if target.dtype.kind in "iub" and target.size == len(target):
        return np.asarray(target).reshape(-1)
    if target.ndim == 2 and target.shape[1] > 1:
        values = np.asarray(target)
        is_one_hot = np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=1) == 1)
        return values.argmax(axis=1) if is_one_hot else None
    return None
