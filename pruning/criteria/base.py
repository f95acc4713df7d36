"""What a criterion is: it sees the channels of one group and says which stay."""

from __future__ import annotations

import abc
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar, final

import numpy as np

from pruning.errors import CriterionError

T = TypeVar("T")
Observes = Literal["activations", "gradients", "members", "losses", "readings"]
"""What a criterion on data is given: see `DataCriterion`."""


class Trials(abc.ABC):
    """Tries out what the loss is without a channel, for as many samples as is asked.

    Attributes:
        num_samples: How many samples there are.
    """

    num_samples: int

    @abc.abstractmethod
    def losses(self, channels: np.ndarray, samples: np.ndarray) -> np.ndarray:
        """Return each sample's loss without each channel by itself.

        Args:
            channels: Their numbers, shape `(n,)`; the number behind the last stands for the whole model.
            samples: Their numbers, shape `(m,)`.

        Returns:
            Shape `(m, n)`, float64.
        """


@dataclass(frozen=True)
class Reading:
    """A kernel that reads the channels of a group, and how what it reads goes together on the samples.

    Attributes:
        products: `XᵀX` of what the kernel is multiplied by, about the mean if an offset takes the mean, float64, shape
            `(blocks, inputs, inputs)`; each block of outputs has inputs of its own, as in a grouped convolution.
        weights: The kernel, float64, shape `(blocks, inputs, outputs)`.
        rows: Which inputs of every block come from each channel, shape `(num_channels, n)`.
    """

    products: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Channels:
    """The channels of one group, as a criterion sees them.

    Attributes:
        name: Name of the channel group.
        num_channels: How many channels it has now.
        seed: Seed of the whole prune.
    """

    name: str
    num_channels: int
    seed: int
    _read_filters: Callable[[], Sequence[np.ndarray]] = field(repr=False)
    _read_scales: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    _read_coupled: Callable[[], Iterable[np.ndarray]] | None = field(default=None, repr=False)
    _read_folded: Callable[[], Iterable[np.ndarray]] | None = field(default=None, repr=False)
    _measure: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    _try_out: Callable[[], Trials] | None = field(default=None, repr=False)
    _guess: Callable[[], np.ndarray] | None = field(default=None, repr=False)

    @cached_property
    def _filters(self) -> Sequence[np.ndarray]:
        """The filters layer by layer, so that what is summed up anyway need not be copied side by side."""
        return self._read_filters()

    @cached_property
    def weights(self) -> np.ndarray:
        """Filters of all layers that make the channels, shape `(num_channels, features)`; read on first use."""
        return self._filters[0] if len(self._filters) == 1 else np.concatenate(self._filters, axis=1)

    @cached_property
    def scales(self) -> np.ndarray:
        """Factors (gamma) of all normalisations of the channels, shape `(num_channels, n)`; `n` is 0 without any."""
        return np.zeros((self.num_channels, 0)) if self._read_scales is None else self._read_scales()

    @cached_property
    def measured(self) -> np.ndarray:
        """What a `DataCriterion` measures, averaged over samples and places, shape `(num_channels,)`.

        Raises:
            CriterionError: Nothing was measured, because the criterion is no `DataCriterion`.
        """
        if self._measure is None:
            raise CriterionError("Only a DataCriterion measures channels on data.", field="pruning.criterion")
        return self._measure()

    @cached_property
    def trials(self) -> Trials:
        """Losses without a channel, tried out when they are asked for.

        Raises:
            CriterionError: The criterion does not say that it `needs_data`.
        """
        return self._on_data(self._try_out)

    @cached_property
    def guesses(self) -> np.ndarray:
        """How much each sample's loss grows without each channel, to first order, shape `(num_samples, num_channels)`.

        Zeros where no gradient stands for a removal.

        Raises:
            CriterionError: The criterion does not say that it `needs_data`.
        """
        return self._on_data(self._guess)

    def _on_data(self, read: Callable[[], T] | None) -> T:
        if read is None:
            raise CriterionError(
                "Only a criterion on data can look at losses.",
                field="pruning.criterion",
                received="needs_data = False",
                expected="needs_data = True in the criterion's class, and data",
            )
        return read()

    @cached_property
    def distances(self) -> np.ndarray:
        """Euclidean distances between the filters, shape `(num_channels, num_channels)`, in float64."""
        filters = np.asarray(self.weights, dtype=np.float64)
        # Shifted to the mean, so that the difference of large squares does not lose small distances.
        filters = filters - filters.mean(axis=0)
        squares = np.square(filters).sum(axis=1)
        distances = squares[:, np.newaxis] + squares[np.newaxis, :] - 2 * filters @ filters.T
        between: np.ndarray = np.sqrt(np.maximum(distances, 0))
        return between

    def blocks(self, num_features: int = 256) -> Iterator[np.ndarray]:
        """Yield the filters some features at a time, in float32 at least.

        A temporary of the size of VGG16's first dense kernel, or one that does not fit the processor's cache, costs
        more than the sum that needs it. Blocks are short enough to be summed in float32.
        """
        return _blocks(self._filters, num_features)

    def coupled_blocks(self, num_features: int = 256) -> Iterator[np.ndarray]:
        """Yield all coupled weights in the same way: what makes the channels, scales them and reads them."""
        return _blocks(self._filters if self._read_coupled is None else self._read_coupled(), num_features)

    def folded_blocks(self, num_features: int = 256) -> Iterator[np.ndarray]:
        """Yield the filters in the same way, each with the BatchNormalization behind it folded in."""
        return _blocks(self._filters if self._read_folded is None else self._read_folded(), num_features)

    def generator(self) -> np.random.Generator:
        """Return a random generator of the group's own, so that no group depends on another's draws."""
        return np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])


def _blocks(parts: Iterable[np.ndarray], num_features: int) -> Iterator[np.ndarray]:
    for weights in parts:
        for start in range(0, weights.shape[1], num_features):
            block = weights[:, start : start + num_features]
            yield block.astype(np.promote_types(np.float32, block.dtype), copy=False)


class Criterion(abc.ABC):
    """Chooses the channels of a group that stay. Subclass `ScoreCriterion` if each channel has a score.

    Attributes:
        needs_data: Whether it looks at data: a `DataCriterion` at what it measures, others at `Channels.trials`.
    """

    needs_data: ClassVar[bool] = False

    def objection(self, channels: Channels) -> str | None:
        """Return why the criterion cannot rank a group, or `None`; all groups are asked before any is ranked."""
        return None

    @abc.abstractmethod
    def select(self, channels: Channels, num_keep: int) -> np.ndarray:
        """Choose the channels that stay.

        Args:
            channels: The channels of one group.
            num_keep: How many stay, `1 <= num_keep <= channels.num_channels`.

        Returns:
            Indices of the channels that stay, shape `(num_keep,)`, all different.

        Raises:
            CriterionError: The weights cannot be ranked.
        """


class ScoreCriterion(Criterion):
    """Ranks channels by importance; those of highest importance stay."""

    @abc.abstractmethod
    def score(self, channels: Channels) -> np.ndarray:
        """Return the importance of each channel, shape `(num_channels,)`; higher means keep."""

    @final
    def importance(self, channels: Channels) -> np.ndarray:
        """Return the scores after a check, shape `(num_channels,)`, float64 and finite.

        Raises:
            CriterionError: They are not finite numbers of this shape.
        """
        scores = self.score(channels)
        try:
            # In float64: negated, unsigned scores would wrap round.
            importance = np.asarray(scores, dtype=np.float64)
        except (TypeError, ValueError):
            importance = np.full(0, np.nan)
        if importance.shape != (channels.num_channels,) or not np.all(np.isfinite(importance)):
            raise CriterionError(
                f"{type(self).__name__} returned no usable importance for group {channels.name!r}.",
                field="pruning.criterion",
                received=f"shape {importance.shape}, finite: {bool(np.all(np.isfinite(importance)))}",
                expected=f"finite numbers of shape ({channels.num_channels},)",
            )
        return importance

    @final
    def select(self, channels: Channels, num_keep: int) -> np.ndarray:
        # Stable, so that of equals the first stays, on every platform.
        return np.argsort(-self.importance(channels), kind="stable")[:num_keep]


class DataCriterion(ScoreCriterion):
    """Ranks channels by a figure that is measured on data, averaged over the samples; a higher one means keep.

    Attributes:
        observes: What `measure` is given:
            `"activations"`: the channels as they are read, Keras tensors of shape `(samples, *positions, channels)`.
            `"gradients"`: the derivative of each sample's loss with respect to a factor on the channel where it is
            read, which is the sum of activation times gradient; NumPy, shape `(samples, channels)`.
            `"members"`: the derivative with respect to a factor on all weights that one layer has for the channel,
            which is the sum of weight times gradient; NumPy, shape `(samples, channels)`. The figures of all layers
            that make, normalise or read the channels are summed.
            `"losses"`: how much the loss grows without the channel; NumPy, shape `(samples, channels)`.
            `"readings"`: a list with a `Reading` for each kernel that reads the channels, summed over the samples; for
            this `measure` returns a figure for each channel, shape `(channels,)`.
    """

    needs_data = True
    observes: ClassVar[Observes]

    @abc.abstractmethod
    def measure(self, observed: Any) -> Any:
        """Return a figure for each sample and channel, shape `(samples, channels)`.

        Activations are measured in a compiled function, so use `keras.ops` on them. Where several tensors carry the
        channels, each is measured by itself, and the mean counts.
        """

    @final
    def score(self, channels: Channels) -> np.ndarray:
        return channels.measured


class FunctionCriterion(ScoreCriterion):
    """A user's function `(weights) -> importance`."""

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self._function = function

    def score(self, channels: Channels) -> np.ndarray:
        return self._function(channels.weights)
