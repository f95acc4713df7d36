"""What every criterion has to do; a criterion earns the suite by its row in the catalog."""

from __future__ import annotations

import numpy as np
import pytest

from pruning.catalog import CRITERIA
from pruning.criteria import Channels, ScoreCriterion, resolve_criterion


def channels(weights: np.ndarray, *, name: str = "group", seed: int = 0) -> Channels:
    """Return channels with these filters, shape `(num_channels, features)`, which scale and read them as well."""
    filters = lambda: [weights]  # noqa: E731 - one thing, read in three ways.
    return Channels(name, len(weights), seed, filters, lambda: weights, filters, filters)


class CriterionContract:
    """Inherit and give `criterion`."""

    @pytest.fixture(params=[name for name, entry in CRITERIA.items() if not entry.needs_data])
    def criterion(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.parametrize("num_keep", [1, 3, 7, 8])
    def test_keeps_as_many_different_channels_as_asked(self, criterion: str, num_keep: int) -> None:
        weights = np.random.default_rng(0).normal(size=(8, 5))
        kept = resolve_criterion(criterion).select(channels(weights), num_keep)
        assert len(set(kept.tolist())) == num_keep
        assert set(kept.tolist()) <= set(range(8))

    def test_is_the_same_each_time(self, criterion: str) -> None:
        weights = np.random.default_rng(0).normal(size=(9, 4))
        first, second = (resolve_criterion(criterion).select(channels(weights), 4) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_copes_with_equal_filters(self, criterion: str) -> None:
        kept = resolve_criterion(criterion).select(channels(np.ones((6, 3))), 4)
        assert len(set(kept.tolist())) == 4

    def test_does_not_change_the_weights(self, criterion: str) -> None:
        weights = np.random.default_rng(0).normal(size=(6, 3))
        before = weights.copy()
        resolve_criterion(criterion).select(channels(weights), 3)
        np.testing.assert_array_equal(weights, before)

    def test_says_whether_it_ranks(self, criterion: str) -> None:
        assert CRITERIA[criterion].ranks == isinstance(resolve_criterion(criterion), ScoreCriterion)

    def test_names_its_source(self, criterion: str) -> None:
        assert CRITERIA[criterion].source
        assert type(resolve_criterion(criterion)).__doc__
