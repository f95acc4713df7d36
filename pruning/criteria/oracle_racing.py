"""The oracle's channels, sooner: a race, in which no channel runs on whose place is certain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from pruning.criteria.base import Channels, Criterion
from pruning.errors import CriterionError


class OracleRacing(Criterion):
    """Keep the channels that `oracle` keeps, but stop trying out those that certainly stay or certainly go.

    Channels race on more and more samples. After each batch, every two that still run are compared by the difference
    of their losses on the same samples. One that is certainly better than so many that the rest must go stays; one
    that is certainly worse than so many that they fill all places goes. Those left at the end have run on all samples.

    A removal hardly changes the loss of most samples. A sample is the sooner drawn, the more its gradients say that it
    changes, and is weighed by the inverse of its probability, which keeps the means unbiased. Only what the gradients
    do not say has to be estimated: their own mean is known over all samples.

    Certain means: by Student's t, with the variance of priority sampling, at an error of `error` for the whole race,
    shared among channels and batches. It is no proof; where all samples run, the channels are those of `oracle`.

    Sources: Maron & Moore 1994, Hoeffding Races (NIPS 6), for the race, with the t bound of their 1997 paper; Duffield,
    Lund & Thorup 2007, Priority sampling (J. ACM 54), for the draw and the variance; Molchanov et al. 2017,
    arXiv:1611.06440, for the oracle. Differs: pairs of channels are compared, and gradients serve as control variate.

    Attributes:
        batch: Samples by which the race goes on.
        error: How probable a wrong decision in a group may be.
        floor: Share of the mean sensitivity that every sample is given at least.
    """

    needs_data = True
    batch = 64
    error = 0.05
    floor = 0.02

    def select(self, channels: Channels, num_keep: int) -> np.ndarray:
        trials, guesses = channels.trials, channels.guesses
        num_samples, num_channels = guesses.shape
        draw = _Draw.of(guesses, self.floor, channels.generator())
        runs, stay, places = np.arange(num_channels), np.zeros(num_channels, dtype=bool), num_keep
        losses = np.zeros((0, num_channels))
        quantile = student.isf(self.error / num_channels / max(1, -(-num_samples // self.batch)), self.batch - 1)
        while 0 < places < len(runs):
            tried = draw.order[len(losses) : len(losses) + self.batch]
            losses = np.concatenate([losses, _finite(trials.losses(runs, tried), channels)])
            if len(losses) == num_samples:
                # In the order of the samples, so that what is equal is equal to the last digit, whatever the draw.
                means = losses[np.argsort(draw.order)].mean(axis=0)
                stay[runs[np.argsort(-means, kind="stable")[:places]]] = True
                return np.flatnonzero(stay)
            means, deviations = draw.estimate(losses, guesses[:, runs])
            above = means[:, np.newaxis] - means > quantile * deviations
            stays, goes = above.sum(axis=1) >= len(runs) - places, above.sum(axis=0) >= places
            stay[runs[stays]] = True
            places -= int(stays.sum())
            runs, losses = runs[~(stays | goes)], losses[:, ~(stays | goes)]
        stay[runs[:places]] = True  # All that still run, or none.
        return np.flatnonzero(stay)


def _finite(losses: np.ndarray, channels: Channels) -> np.ndarray:
    if not np.all(np.isfinite(losses)):
        raise CriterionError(
            f"The losses without channels of group {channels.name!r} cannot be compared.",
            field="pruning.criterion",
            received="NaN or infinity",
            expected="finite losses for all samples",
            hint="Look for NaN and infinity in the data and in the weights.",
        )
    return losses


@dataclass(frozen=True)
class _Draw:
    """Samples in the order in which they are drawn: those of large sizes sooner.

    Attributes:
        order: Numbers of the samples, shape `(num_samples,)`.
        sizes: Their sizes in this order.
        keys: Their keys in this order, ascending: exponential variables over the sizes.
    """

    order: np.ndarray
    sizes: np.ndarray
    keys: np.ndarray

    @classmethod
    def of(cls, guesses: np.ndarray, floor: float, generator: np.random.Generator) -> _Draw:
        sizes = np.sqrt(np.square(guesses).mean(axis=1))
        sizes = sizes + floor * sizes.mean() if sizes.any() else np.ones(len(sizes))
        keys = generator.exponential(size=len(sizes)) / sizes
        order = np.argsort(keys, kind="stable")
        return cls(order, sizes[order], keys[order])

    def estimate(self, losses: np.ndarray, guesses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the means over all samples from those that are drawn so far.

        Args:
            losses: Of the samples drawn, shape `(n, channels)`, with n below the number of samples.
            guesses: Of all samples, in their own order, shape `(num_samples, channels)`.

        Returns:
            The means up to a common constant, and the standard deviations of the difference of each two.
        """
        drawn = len(losses)
        probability = -np.expm1(-self.keys[drawn] * self.sizes[:drawn])
        weights = (1 - probability) / np.square(probability)
        losses = losses - losses.mean(axis=1, keepdims=True)
        guesses = guesses - guesses.mean(axis=1, keepdims=True)
        known = guesses[self.order[:drawn]]
        agreement, size = (float(weights @ (known * each).sum(axis=1)) for each in (losses, known))
        slope = float(np.clip(agreement / size, 0, _STEEPEST)) if size > 0 else 0.0
        rest = losses - slope * known
        means = slope * guesses.mean(axis=0) + (rest / probability[:, np.newaxis]).sum(axis=0) / len(self.sizes)
        products = (rest * weights[:, np.newaxis]).T @ rest
        squares = np.diag(products)
        variances = np.maximum(squares[:, np.newaxis] + squares - 2 * products, 0)
        return means, np.sqrt(variances) / len(self.sizes)


_STEEPEST = 1.5
