"""In which order channels go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning import PruningSpec, make_plan
from pruning.criteria.kmeans import KMeansFilters
from pruning.errors import SpecError
from pruning.selection.ranking import normalise
from tests.pruning.models import residual

IMPORTANCE = np.array([4.0, 0.0, 3.0, 1.0])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [4, 0, 3, 1]),
        ("max", [1, 0, 0.75, 0.25]),
        ("mean", [2, 0, 1.5, 0.5]),
        ("sum", [0.5, 0, 0.375, 0.125]),
        ("l2", np.array([4, 0, 3, 1]) / np.sqrt(26)),
        ("standard", (np.array([4, 0, 3, 1]) - 2) / np.sqrt(2.5)),
        ("rank", [0.75, 0, 0.5, 0.25]),
    ],
)
def test_normalisations_by_hand(how: Any, expected: Any) -> None:
    assert normalise(IMPORTANCE, how) == pytest.approx(np.asarray(expected))
    assert np.all(np.isfinite(normalise(np.zeros(3), how)))
    assert np.argsort(normalise(-IMPORTANCE, how)).tolist() == np.argsort(-IMPORTANCE).tolist()


def norms(model: Any) -> dict[str, np.ndarray]:
    """L1 norms of the two groups of the residual model, by hand."""
    norm = {
        name: np.abs(np.asarray(model.get_layer(name).kernel)).sum(axis=(0, 1, 2))
        for name in ("stem", "expand", "project")
    }
    return {"stem": norm["stem"] + norm["project"], "expand": norm["expand"]}


def test_a_global_ranking_is_a_sort_of_all_channels() -> None:
    model = residual()
    scores = [(value / scored.mean(), name) for name, scored in norms(model).items() for value in scored]
    gone = [name for _, name in sorted(scores)[:12]]
    plan = make_plan(model, PruningSpec(criterion="l1_norm", scope="global", ratio=0.5))
    left = {group.name: group.num_channels - gone.count(group.name) for group in plan.groups}
    assert {group.name: len(group.keep) for group in plan.groups} == left
    for group in plan.groups:
        best = np.argsort(-norms(model)[group.name])[: len(group.keep)]
        assert list(group.keep) == sorted(best.tolist())


def test_importance_may_be_weighed_against_what_a_channel_costs() -> None:
    model = residual()
    # A channel of the stem: 27 + 1 of its own, 4 of its BatchNorm, 9 * 16 + 9 * 16 + 1 of the others, 4 of the head.
    costs = {"stem": 28 + 4 + 144 + 145 + 4, "expand": 9 * 8 + 1 + 4 + 9 * 8}
    scores = [(value / scored.mean() / costs[name], name) for name, scored in norms(model).items() for value in scored]
    gone = [name for _, name in sorted(scores)[:5]]
    plan = make_plan(model, PruningSpec(criterion="l1_norm", scope="global", importance_per="param", ratio=5 / 24))
    assert [len(group.keep) for group in plan.groups] == [8 - gone.count("stem"), 16 - gone.count("expand")]


@pytest.mark.parametrize(
    ("asked", "widths"),
    [
        ({"ratio": 0.9, "normalisation": "none"}, [1, 1]),
        ({"ratio": 0.9, "normalisation": "none", "max_ratio": 0.5}, [4, 8]),
        ({"ratio": 0.9, "min_channels": 3, "min_channels_by_layer": {"expand": 7}}, [3, 7]),
        ({"ratio": 0.9, "ratios": {"expand": 0.25}}, [1, 12]),
        ({"ratio": 0.5, "normalisation": "rank"}, [4, 8]),
        ({"ratio": 0.5, "exclude": ["expand"]}, [4, 16]),
    ],
)
def test_a_global_ranking_keeps_to_the_bounds(asked: dict[str, Any], widths: list[int]) -> None:
    plan = make_plan(residual(), PruningSpec(criterion="l1_norm", scope="global", **asked))
    assert [len(group.keep) for group in plan.groups] == widths


@pytest.mark.parametrize("criterion", ["kmeans", KMeansFilters, "oracle_racing"])
def test_sets_cannot_be_ranked_globally(criterion: Any) -> None:
    with pytest.raises(SpecError, match="chooses sets") as caught:
        make_plan(residual(), {"criterion": criterion, "scope": "global", "ratio": 0.5})
    assert caught.value.field == "pruning.scope"
