"""From a criterion to numbers: how important each channel of a group is, and which of them stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property

import numpy as np
from keras import layers

from pruning.criteria import Channels, DataCriterion, ScoreCriterion, resolve_criterion
from pruning.criteria.base import Trials
from pruning.errors import CriterionError, PruningError, SpecError
from pruning.graph.groups import ChannelGraph, ChannelGroup
from pruning.graph.program import Program
from pruning.patterns import any_of
from pruning.scoring.calibration import Calibration, OnShare
from pruning.scoring.group_weights import coupled, filters, folded_filters, normalisations_behind, scales
from pruning.scoring.members import measure_members, member_views
from pruning.scoring.observation import measure_activations, measure_gradients, sample_gradients
from pruning.scoring.readings import linear_views, measure_readings
from pruning.scoring.removal import measure_removals, removals
from pruning.scoring.views import gated_views, views
from pruning.spec import PruningSpec

_SAMPLES_OF_A_TRIAL = 64


class Scoring:
    """A criterion, applied to the channel groups of one model.

    Args:
        graph: The traced model.
        criterion: What `PruningSpec.criterion` takes.
        seed: Seed of the whole prune.
        calibration: The samples for a criterion that looks at data.

    Raises:
        UnknownCriterionError: The criterion is not known.
        CriterionError: The criterion looks at data, and there is none.
    """

    def __init__(
        self, graph: ChannelGraph, criterion: object, seed: int, calibration: Calibration | None = None
    ) -> None:
        self._graph = graph
        self._seed = seed
        self._calibration = calibration
        self._measured: dict[str, np.ndarray] = {}
        self._gradients: dict[str, np.ndarray] | None = None
        self.criterion = resolve_criterion(criterion)
        require_data(criterion, calibration is not None)

    def require_suited(self, groups: Iterable[ChannelGroup]) -> None:
        """Check that the criterion can rank all of some groups.

        Raises:
            CriterionError: It cannot; the error names all groups that it has something against.
        """
        objections = {group.name: self.criterion.objection(self._channels(group)) for group in groups}
        unsuited = {name: why for name, why in objections.items() if why is not None}
        if unsuited:
            reasons = {why: [name for name in unsuited if unsuited[name] == why] for why in unsuited.values()}
            raise CriterionError(
                f"{type(self.criterion).__name__} cannot rank {len(unsuited)} of the channel groups.",
                field="pruning.criterion",
                received="; ".join(f"{why}: {', '.join(names)}" for why, names in reasons.items()),
                expected="groups that the criterion can rank",
                hint=f"Leave them out with exclude: {any_of(unsuited)}, or choose another criterion.",
            )

    def importance(self, group: ChannelGroup) -> np.ndarray:
        """Return the importance of each channel of a group, shape `(num_channels,)`, finite; higher means keep.

        Raises:
            CriterionError: The criterion failed, or chooses sets of channels and has no number for each.
        """
        criterion = self.criterion
        if not isinstance(criterion, ScoreCriterion):
            raise CriterionError(
                f"{type(criterion).__name__} has no importance for each channel, only a set of channels that stay.",
                field="pruning.criterion",
                received=type(criterion).__name__,
                expected="a criterion that scores channels, such as l1_norm",
                hint="Rank each group by itself, or choose another criterion.",
            )
        return self._guarded(group, lambda: criterion.importance(self._channels(group)), "finite numbers")

    def keep(self, group: ChannelGroup, num_keep: int) -> np.ndarray:
        """Return the ascending indices of the channels of a group that stay, shape `(num_keep,)`.

        Raises:
            CriterionError: The criterion failed, or did not choose `num_keep` different channels.
        """
        expected = f"{num_keep} different indices within 0..{group.num_channels - 1}"
        keep = self._guarded(
            group, lambda: np.asarray(self.criterion.select(self._channels(group), num_keep)), expected
        )
        valid = (
            keep.shape == (num_keep,)
            and np.issubdtype(keep.dtype, np.integer)
            and len(np.unique(keep)) == num_keep
            and keep.min() >= 0
            and keep.max() < group.num_channels
        )
        if not valid:
            raise CriterionError(
                f"{type(self.criterion).__name__} did not choose channels of group {group.name!r}.",
                field="pruning.criterion",
                received=f"array of shape {keep.shape} and type {keep.dtype}",
                expected=expected,
            )
        return np.sort(keep)

    def _channels(self, group: ChannelGroup) -> Channels:
        return Channels(
            group.name,
            group.num_channels,
            self._seed,
            lambda: filters(self._graph, group),
            lambda: scales(self._graph, group),
            lambda: coupled(self._graph, group),
            lambda: folded_filters(self._graph, group, self._normalised_by),
            (lambda: self._measure(group)) if isinstance(self.criterion, DataCriterion) else None,
            (lambda: self._trials(group)) if self.criterion.needs_data else None,
            (lambda: self._guesses(group)) if self.criterion.needs_data else None,
        )

    @cached_property
    def _normalised_by(self) -> dict[int, layers.BatchNormalization]:
        return normalisations_behind(self._graph)

    def _trials(self, group: ChannelGroup) -> Trials:
        return removals(self._graph, group, self._told(group), _SAMPLES_OF_A_TRIAL)

    def _told(self, group: ChannelGroup) -> Calibration:
        """Return the samples, with what is done in one group told as a share of all."""
        assert self._calibration is not None
        return replace(self._calibration, on_share=_Share(self._graph, group, self._calibration.on_share))

    def _guesses(self, group: ChannelGroup) -> np.ndarray:
        """Take the gradients of all groups in one pass, when the first is asked for."""
        assert self._calibration is not None
        if self._gradients is None:
            self._gradients = sample_gradients(self._graph, replace(self._calibration, on_share=lambda share: None))
        gradients = self._gradients.get(group.name)
        if gradients is None or not np.all(np.isfinite(gradients)):
            return np.zeros((self._calibration.num_samples, group.num_channels))
        return -gradients  # Without the channel, its factor of 1 is 0.

    def _measure(self, group: ChannelGroup) -> np.ndarray:
        """Measure all groups in one pass, when the first is asked for; the removal of channels group by group."""
        criterion, calibration = self.criterion, self._calibration
        assert isinstance(criterion, DataCriterion)
        assert calibration is not None
        if group.name not in self._measured:
            if criterion.observes == "losses":
                measured = measure_removals(self._graph, group, self._told(group), criterion.measure)
                self._measured[group.name] = measured
            else:
                self._measured.update(_MEASURES[criterion.observes](self._graph, calibration, criterion.measure))
        if group.name not in self._measured:
            # Raises: it says why nothing was seen.
            _VIEWS[criterion.observes](self._graph, Program(self._graph.model), group)
        return self._measured[group.name]

    def _guarded(self, group: ChannelGroup, ask: Callable[[], np.ndarray], expected: str) -> np.ndarray:
        try:
            return ask()
        except PruningError:
            raise
        except Exception as error:
            own = _own_error_behind(error)
            if own is not None:
                raise own from error
            # A user's own criterion may raise anything.
            raise CriterionError(
                f"{type(self.criterion).__name__} failed on group {group.name!r}.",
                field="pruning.criterion",
                received=f"{type(error).__name__}: {error}",
                expected=expected,
            ) from error


def _own_error_behind(error: BaseException) -> PruningError | None:
    """Return the error of ours that a backend made another of, such as Keras on JAX while it builds a model."""
    behind = error.__cause__ or error.__context__
    while behind is not None and not isinstance(behind, PruningError):
        behind = behind.__cause__ or behind.__context__
    return behind


class _Share:
    """Turns the share of one group that is done into that of all groups; each channel counts alike."""

    def __init__(self, graph: ChannelGraph, group: ChannelGroup, on_share: OnShare) -> None:
        counts = [each.num_channels for each in graph.groups]
        first = [each.name for each in graph.groups].index(group.name)
        self._before, self._own, self._all = sum(counts[:first]), counts[first], sum(counts)
        self._on_share = on_share

    def __call__(self, share: float) -> None:
        self._on_share((self._before + share * self._own) / self._all)


_MEASURES = {
    "activations": measure_activations,
    "gradients": measure_gradients,
    "members": measure_members,
    "readings": measure_readings,
}
_VIEWS: dict[str, Callable[[ChannelGraph, Program, ChannelGroup], object]] = {
    "activations": views,
    "gradients": gated_views,
    "members": member_views,
    "readings": linear_views,
}


def looks_at_data(criterion: object) -> bool:
    """Tell whether a criterion needs samples."""
    return resolve_criterion(criterion).needs_data


def needs_samples(spec: PruningSpec) -> bool:
    """Tell whether a plan looks at samples: for its criterion, or for its scope."""
    return spec.scope == "sensitivity" or looks_at_data(spec.criterion)


def require_samples(spec: PruningSpec, has_data: bool) -> None:
    """Check that there is data if the criterion or the scope looks at it.

    Raises:
        CriterionError: The criterion has none.
        SpecError: The scope has none.
    """
    require_data(spec.criterion, has_data)
    if needs_samples(spec) and not has_data:
        raise SpecError(
            "The scope sensitivity measures what channels cost the loss, and there is no data.",
            field="dataset",
            received="no data",
            expected="training samples, with or without targets",
            hint="Give data, or choose the scope local or global.",
        )


def require_data(criterion: object, has_data: bool) -> None:
    """Check that a criterion that looks at data has some.

    Raises:
        CriterionError: It has none.
    """
    if looks_at_data(criterion) and not has_data:
        name = criterion if isinstance(criterion, str) else type(resolve_criterion(criterion)).__name__
        raise CriterionError(
            f"The criterion {name} looks at data, and there is none.",
            field="dataset",
            received="no data",
            expected="training samples, with targets",
            hint="Give data, or choose a criterion that needs only the weights.",
        )
