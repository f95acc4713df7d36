"""Criteria: the contract for all of them, and each one by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pruning.criteria import Channels, Criterion, ScoreCriterion, kmeans, resolve_criterion
from pruning.errors import CriterionError, UnknownCriterionError
from tests.contracts.criterion import CriterionContract, channels

pytestmark = pytest.mark.fast


class TestCatalogued(CriterionContract):
    pass


def test_l1_norm_by_hand() -> None:
    weights = np.array([[1.0, -1.0], [0.0, 3.0], [-2.0, 0.5]])
    assert resolve_criterion("l1_norm").select(channels(weights), 2).tolist() == [1, 2]


def test_l1_norm_sums_over_more_features_than_one_block() -> None:
    weights = np.zeros((2, 3000))
    weights[1, 2999] = -1
    assert resolve_criterion("l1_norm").select(channels(weights), 1).tolist() == [1]


def test_kmeans_keeps_one_filter_of_each_cluster() -> None:
    weights = np.array([[0.0, 0], [0.1, 0], [0.05, 0], [5, 5], [5.1, 5], [-9, 2]])
    kept = resolve_criterion("kmeans").select(channels(weights), 3)
    assert sorted(kept.tolist()) in ([2, 3, 5], [2, 4, 5])


def test_kmeans_refuses_nan() -> None:
    with pytest.raises(CriterionError, match="NaN"):
        resolve_criterion("kmeans").select(channels(np.full((4, 2), np.nan)), 2)


def test_random_differs_by_group_and_seed_but_not_by_call() -> None:
    weights = np.zeros((64, 1))
    picks = [
        tuple(resolve_criterion("random").select(channels(weights, name=name, seed=seed), 32))
        for name, seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))
    ]
    assert picks[0] == picks[1]
    assert len(set(picks)) == 3


def test_a_users_function_class_and_instance() -> None:
    class Last(ScoreCriterion):
        """Keeps the last channels."""

        def score(self, seen: Channels) -> np.ndarray:
            return np.arange(seen.num_channels)

    weights = np.array([[3.0], [1.0], [2.0]])
    assert resolve_criterion(lambda w: w[:, 0]).select(channels(weights), 1).tolist() == [0]
    assert resolve_criterion(Last).select(channels(weights), 1).tolist() == [2]
    assert resolve_criterion(Last()).select(channels(weights), 1).tolist() == [2]


@pytest.mark.parametrize("wrong", [[1.0], [[1.0], [2.0]], [1.0, np.nan]])
def test_a_function_that_returns_nonsense_is_named(wrong: list[float]) -> None:
    with pytest.raises(CriterionError, match="no usable importance"):
        resolve_criterion(lambda weights: np.array(wrong)).select(channels(np.ones((2, 1))), 1)


@pytest.mark.parametrize("unknown", ["l7_norm", 3, int])
def test_unknown_criterion(unknown: object) -> None:
    with pytest.raises(UnknownCriterionError, match="l1_norm"):
        resolve_criterion(unknown)


def test_the_abstraction_cannot_be_used_bare() -> None:
    with pytest.raises(TypeError):
        Criterion()  # type: ignore[abstract]


def test_unsigned_scores_do_not_wrap_round() -> None:
    kept = resolve_criterion(lambda weights: np.arange(8, dtype="uint8")).select(channels(np.ones((8, 1))), 4)
    assert sorted(kept.tolist()) == [4, 5, 6, 7]


def test_l1_norm_of_half_precision_is_summed_in_full() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 4096)).astype("float16")
    kept = resolve_criterion("l1_norm").select(channels(weights), 32)
    assert set(kept.tolist()) == set(np.argsort(np.abs(weights.astype("float64")).sum(axis=1))[-32:].tolist())


def test_l2_norm_by_hand() -> None:
    weights = np.array([[1.0, -1.0, 1.0], [0.0, 1.5, 0.0], [-2.0, 0.0, 0.0]])
    assert resolve_criterion("l2_norm").select(channels(weights), 2).tolist() == [2, 0]


def test_geometric_median_by_hand() -> None:
    # Sums of distances: 1 + 3 + 7 = 11, 1 + 2 + 6 = 9, 3 + 2 + 4 = 9, 7 + 6 + 4 = 17.
    weights = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(resolve_criterion("geometric_median").score(channels(weights)), [11, 9, 9, 17])


def test_geometric_median_sees_signs() -> None:
    """On absolute weights the two opposite filters would be equal, and the first to go."""
    weights = np.array([[2.0, 2.0], [-2.0, -2.0], [1.0, 1.0], [1.1, 1.0]])
    assert sorted(resolve_criterion("geometric_median").select(channels(weights), 2).tolist()) == [0, 1]


def test_batchnorm_scale_by_hand() -> None:
    # |gamma| of two normalisations: 1 + 0, 0.5 + 2, 0 + 3.
    scales = np.array([[-1.0, 0.0], [0.5, -2.0], [0.0, 3.0]])
    seen = Channels("group", 3, 0, lambda: [np.zeros((3, 1))], lambda: scales)
    np.testing.assert_allclose(resolve_criterion("batchnorm_scale").score(seen), [1, 2.5, 3])


def test_batchnorm_scale_objects_to_a_group_without_one() -> None:
    objection = resolve_criterion("batchnorm_scale").objection(Channels("dense_1", 3, 0, lambda: [np.ones((3, 1))]))
    assert "gamma" in str(objection)


def test_coupled_norm_by_hand() -> None:
    made, read = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[4.0], [-1.0]])
    seen = Channels("group", 2, 0, lambda: [made], _read_coupled=lambda: [made, read])
    np.testing.assert_allclose(resolve_criterion("coupled_norm").score(seen), [1 + 4 + 16, 9 + 1])


def test_folded_norm_by_hand() -> None:
    kernel, factors = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[0.5], [-7.0]])
    seen = Channels("group", 2, 0, lambda: [kernel], _read_folded=lambda: [kernel * factors])
    np.testing.assert_allclose(resolve_criterion("folded_norm").score(seen), [2.5, 7])


def test_lamp_by_hand() -> None:
    # Squared norms 1, 4, 9, 4: of the two 4s the first counts as the larger.
    weights = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [-2.0, 0.0]])
    importance = resolve_criterion("lamp").score(channels(weights))
    np.testing.assert_allclose(importance, [1 / 18, 4 / 13, 1, 4 / 17])


def test_lamp_by_its_definition() -> None:
    weights = np.random.default_rng(3).normal(size=(12, 30))
    squares = [sum(value * value for value in row) for row in weights.tolist()]
    expected = [own / sum(other for other in squares if other >= own) for own in squares]
    np.testing.assert_allclose(resolve_criterion("lamp").score(channels(weights)), expected)


def test_lamp_of_a_group_of_zeros_still_keeps_one_channel() -> None:
    assert resolve_criterion("lamp").score(channels(np.zeros((3, 2)))).tolist() == [1, 0, 0]


def test_similar_filters_by_hand() -> None:
    # 5 and 5.5 are nearest, and 5 is smaller; then 0 and 1; then 1 and 5.5.
    weights = np.array([[0.0], [1.0], [5.0], [5.5], [10.5]])
    criterion = resolve_criterion("similar_filters")
    kept = [sorted(criterion.select(channels(weights), count).tolist()) for count in (4, 3, 2, 1)]
    assert kept == [[0, 1, 3, 4], [1, 3, 4], [3, 4], [4]]


def test_similar_filters_by_its_definition() -> None:
    weights = np.random.default_rng(4).normal(size=(15, 6))
    left = list(range(15))
    for num_keep in range(14, 0, -1):
        gaps = {(i, j): float(np.sum((weights[i] - weights[j]) ** 2)) for i in left for j in left if i < j}
        pair = min(gaps, key=gaps.__getitem__)
        left.remove(min(pair, key=lambda i: float(np.sum(weights[i] ** 2))))
        kept = resolve_criterion("similar_filters").select(channels(weights), num_keep)
        assert sorted(kept.tolist()) == left


@pytest.mark.parametrize(
    "name", ["similar_filters", "geometric_median", "l1_norm", "lamp", "coupled_norm", "folded_norm"]
)
def test_filters_that_are_nan_are_refused(name: str) -> None:
    with pytest.raises(CriterionError):
        resolve_criterion(name).select(channels(np.full((4, 2), np.nan)), 2)


PLUGINS = """
[ridurre.criteria]
shortest = plugin_of_a_test:Shortest
biggest = plugin_of_a_test:biggest
broken = plugin_that_is_broken:Criterion
missing = plugin_of_a_test:NotThere
constant = plugin_of_a_test:constant
l1_norm = plugin_that_is_broken:Criterion
"""

PLUGIN = """
import numpy as np
from pruning.criteria import ScoreCriterion
class Shortest(ScoreCriterion):
    def score(self, channels):
        return -np.abs(channels.weights).sum(axis=1)
def biggest(weights):
    return np.abs(weights).max(axis=1)
constant = 3
"""

USE = """
import sys
import api.app
assert "plugin_of_a_test" not in sys.modules and "plugin_that_is_broken" not in sys.modules
import numpy as np
from pruning.catalog import CRITERIA
from pruning.criteria import resolve_criterion
from pruning.errors import CriterionError
from pruning.spec import PruningSpec
from tests.contracts.criterion import channels
assert CRITERIA["shortest"].source == "package ridurre-plugin 1.5", CRITERIA["shortest"]
assert "biggest" in PruningSpec.model_json_schema()["properties"]["criterion"]["enum"]
weights = np.array([[3.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
assert resolve_criterion(PruningSpec(criterion="shortest", ratio=0.5).criterion).select(channels(weights), 1) == [1]
assert resolve_criterion("biggest").select(channels(weights), 1) == [0]
assert resolve_criterion("l1_norm").select(channels(weights), 1) == [2]
for name, cause in (("broken", "ZeroDivisionError"), ("missing", "NotThere"), ("constant", "int, which is neither")):
    try:
        resolve_criterion(name)
    except CriterionError as error:
        assert cause in str(error) and "ridurre-plugin" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_criteria_of_other_packages_are_found_and_broken_ones_named_when_used(tmp_path: Path) -> None:
    package = tmp_path / "ridurre_plugin-1.5.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: ridurre-plugin\nVersion: 1.5\n")
    (package / "entry_points.txt").write_text(PLUGINS)
    (tmp_path / "plugin_of_a_test.py").write_text(PLUGIN)
    (tmp_path / "plugin_that_is_broken.py").write_text("1 / 0\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("num_filters", "num_features"), [(12, 40), (30, 500), (7, 7), (40, 9)])
def test_kmeans_keeps_the_same_filters_in_fewer_coordinates(
    monkeypatch: pytest.MonkeyPatch, num_filters: int, num_features: int
) -> None:
    weights = np.random.default_rng(1).normal(size=(num_filters, num_features))
    seen = Channels("group", num_filters, 0, lambda: [weights])
    kept = resolve_criterion("kmeans").select(seen, num_filters // 2)
    fewer = kmeans._in_fewest_coordinates(weights)
    assert fewer.shape == (num_filters, min(num_features, num_filters))
    np.testing.assert_allclose(
        np.linalg.norm(fewer[:, np.newaxis] - fewer, axis=-1),
        np.linalg.norm(weights[:, np.newaxis] - weights, axis=-1),
        atol=1e-9,
    )
    monkeypatch.setattr(kmeans, "_in_fewest_coordinates", lambda filters: filters)
    assert sorted(resolve_criterion("kmeans").select(seen, num_filters // 2)) == sorted(kept)
