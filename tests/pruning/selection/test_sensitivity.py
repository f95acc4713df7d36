"""What groups cost the loss, against models that were really pruned, and the widths that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pruning import PruningSpec, Sensitivity, apply_plan, foresee, make_plan, prune, sensitivity
from pruning.errors import CriterionError, DataError, SpecError
from pruning.graph.groups import ChannelGraph
from pruning.keras_model.graph import inputs_by_name, outputs_by_name
from pruning.pipeline import PruningResult
from pruning.proof.masking import Mask, run
from pruning.proof.random_inputs import random_inputs
from pruning.scoring.calibration import Calibration
from pruning.scoring.importance import Scoring
from pruning.selection import sensitivity as home
from pruning.selection.planning import Extent, describe, plan_prune
from pruning.selection.sensitivity import GroupSensitivity
from tests.pruning.models import blobs, residual
from tests.pruning.run.runs import assert_same, interrupted_after, network
from tests.strategies import models

SHARES = (0.3, 0.6)


def _pruned(model: keras.Model, group: str, num_removed: int) -> keras.Model:
    """Build the model without the channels of one group that the l1_norm ranks last."""
    graph, spec = ChannelGraph(model), PruningSpec(criterion="l1_norm", ratio=0.5)
    chosen = next(each for each in graph.groups if each.name == group)
    keep = Scoring(graph, "l1_norm", 0).keep(chosen, chosen.num_channels - num_removed)
    return apply_plan(model, describe(graph, {group: keep}, spec))


@settings(
    max_examples=6, derandomize=True, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
@given(models(), st.booleans())
def test_increases_are_those_of_pruned_models(model: keras.Model, is_labelled: bool) -> None:
    packed = random_inputs(model, "positive", num_samples=3, seed=0)
    x = dict(zip(inputs_by_name(model), keras.tree.flatten(packed), strict=True))
    whole = run(model, Mask(), packed)
    generator = np.random.default_rng(0)
    targets = [generator.normal(size=output.shape).astype("float32") for output in whole]
    model.compile("sgd", "mean_squared_error")

    def loss(outputs: list[np.ndarray]) -> float:
        if is_labelled:
            return float(sum(np.mean(np.square(a - b)) for a, b in zip(outputs, targets, strict=True)))
        pairs = zip(outputs, whole, strict=True)
        return float(np.mean([np.mean(np.square(a - b)) / max(np.var(b), 1e-12) for a, b in pairs]))

    data = (x, dict(zip(outputs_by_name(model), targets, strict=True))) if is_labelled else {"x_train": x}
    told = sensitivity(model, data, criterion="l1_norm", shares=SHARES)
    before = loss(whole)
    assert told.loss == pytest.approx(before, rel=1e-5) if is_labelled else told.loss is None
    assert [each.name for each in told.groups] == [group.name for group in ChannelGraph(model).groups]
    for each in told.groups:
        for num_removed, increase in zip(each.removed, each.increases, strict=True):
            expected = loss(run(_pruned(model, each.name, num_removed), Mask(), packed)) - before
            assert increase == pytest.approx(expected, rel=1e-3, abs=1e-5 * max(1.0, before))


def test_neither_batches_nor_their_filling_count() -> None:
    model, (x, y) = residual(compiled=True), blobs(300)
    told = sensitivity(model, (x, y), criterion="l1_norm", shares=SHARES)

    def loss(model: keras.Model) -> float:
        probabilities = model.predict(x, verbose=0).astype(np.float64)[np.arange(300), y]
        return float(np.mean(-np.log(np.clip(probabilities, 1e-7, 1 - 1e-7))))

    small = _pruned(model, "expand", told.groups[1].removed[0])
    assert told.loss == pytest.approx(loss(model), rel=1e-5)
    assert told.groups[1].increases[0] == pytest.approx(loss(small) - loss(model), rel=1e-3)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=4), st.integers(5, 40))
def test_prices_never_fall_and_add_up_as_far_as_losses_bend_upwards(increases: list[float], width: int) -> None:
    counts = tuple(range(1, len(increases) + 1))
    prices = GroupSensitivity(name="g", num_channels=width, removed=counts, increases=tuple(increases)).prices()
    assert len(prices) == width
    assert np.all(prices >= 0)
    assert np.all(np.diff(prices) >= 0)
    risen = np.maximum.accumulate([0.0, *increases])
    if np.all(np.diff(np.diff(risen)) >= 0):
        np.testing.assert_allclose(np.cumsum(prices)[: len(increases)], risen[1:], atol=1e-9)


def _with_a_dead_group() -> tuple[keras.Model, Any]:
    """Return a model all of whose expand channels do nothing, and samples that it classifies without a mistake."""
    model, (x, _) = residual(compiled=True), blobs()
    kernel = model.get_layer("project").kernel
    kernel.assign(np.zeros(kernel.shape))
    return model, (x, np.argmax(model.predict(x, verbose=0), axis=1))


def test_a_group_that_does_nothing_loses_first() -> None:
    model, data = _with_a_dead_group()
    told = sensitivity(model, data, criterion="l1_norm")
    assert told.groups[1].increases == pytest.approx([0] * 4, abs=1e-6)
    assert told.groups[0].increases[0] > 1e-3
    spec = PruningSpec(criterion="l1_norm", scope="sensitivity", ratio=0.5)
    assert [len(group.keep) for group in make_plan(model, spec, data).groups] == [8, 4]


def test_groups_that_do_nothing_take_turns() -> None:
    model = residual(compiled=True)
    kernel = model.get_layer("head").kernel
    kernel.assign(np.zeros(kernel.shape))
    plan = make_plan(model, PruningSpec(criterion="l1_norm", scope="sensitivity", ratio=0.5), blobs())
    assert [len(group.keep) for group in plan.groups] == [4, 8]


@pytest.mark.parametrize(
    ("asked", "widths"),
    [
        ({"ratio": 0.9}, [1, 1]),
        ({"ratio": 0.9, "max_ratio": 0.5}, [4, 8]),
        ({"ratio": 0.5, "max_ratio": 0.5}, [4, 8]),
        ({"ratio": 0.5, "min_channels_by_layer": {"expand": 12}}, [1, 12]),
        ({"ratio": 0.5, "ratios": {"expand": 0.25}}, [1, 12]),
        ({"ratio": 0.5, "exclude": ["expand"]}, [4, 16]),
        ({"ratio": 0.375, "round_to": 8}, [8, 8]),
    ],
)
def test_limits_hold(asked: dict[str, Any], widths: list[int]) -> None:
    spec = PruningSpec(criterion="l1_norm", scope="sensitivity", **asked)
    model, data = _with_a_dead_group()
    assert [len(group.keep) for group in make_plan(model, spec, data).groups] == widths


@pytest.mark.parametrize("criterion", ["taylor", "kmeans"])
@pytest.mark.parametrize("per", ["channel", "param"])
def test_targets_are_met_and_channels_ranked_as_locally(criterion: str, per: Any) -> None:
    model = residual(width=16, compiled=True)
    spec = PruningSpec(criterion=criterion, scope="sensitivity", importance_per=per, target_params=0.5)
    plan = make_plan(model, spec, blobs())
    assert 0.99 * 0.5 <= plan.params_after / plan.params_before <= 0.5
    graph = ChannelGraph(model)
    ratios = {f"^{group.name}$": 1 - len(group.keep) / group.num_channels for group in plan.groups}
    local = make_plan(model, PruningSpec(criterion=criterion, ratios={k: v for k, v in ratios.items() if v}), blobs())
    assert [group.keep for group in plan.groups] == [group.keep for group in local.groups]
    assert {group.name for group in graph.groups} == {group.name for group in plan.groups}


def test_it_is_read_and_printed() -> None:
    told = sensitivity(residual(compiled=True), blobs(), criterion="l1_norm")
    assert Sensitivity.model_validate_json(told.model_dump_json()) == told
    assert [each.removed for each in told.groups] == [(1, 2, 4, 6), (2, 4, 8, 12)]
    lines = str(told).splitlines()
    assert lines[1].split()[:3] == ["stem", "8", "1:"]
    assert lines[-1].startswith("By l1_norm, 96 samples, the loss of ")


@pytest.mark.parametrize("plan", [make_plan, prune, foresee])
def test_without_data_it_is_refused(plan: Any) -> None:
    with pytest.raises(SpecError, match="there is no data") as caught:
        plan(residual(), {"criterion": "l1_norm", "scope": "sensitivity", "ratio": 0.5})
    assert caught.value.field == "dataset"


@pytest.mark.parametrize("shares", [(), (0.5, 1.0), (0.0,)])
def test_shares_lie_between_none_and_all(shares: tuple[float, ...]) -> None:
    with pytest.raises(SpecError, match="no shares"):
        sensitivity(residual(compiled=True), blobs(), shares=shares)


def test_a_loss_that_is_not_finite_is_refused() -> None:
    x, y = blobs()
    with pytest.raises((CriterionError, DataError)):
        sensitivity(residual(compiled=True), (np.full_like(x, np.nan), y), criterion="l1_norm")


MEASURED: dict[str, Any] = {"scope": "sensitivity", "criterion": "l1_norm", "calibration_samples": 32}
UNTRAINED: dict[str, Any] = {"epochs": 0, "fine_tuning_epochs": 0, "post_training_epochs": 0}


def _run(asked: dict[str, Any], directory: Path | None = None, **training: Any) -> PruningResult:
    data, training = (blobs(96), blobs(32, seed=1)), UNTRAINED | training
    spec = MEASURED | {"reconstruction": False} | asked
    return prune(network(), spec, data, training=training, checkpoint_directory=directory, is_timed=False)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Sensitivity]:
    """Return what is measured from now on."""
    measure, made = home.measure_sensitivity, list[Sensitivity]()

    def noting(*arguments: Any) -> Sensitivity:
        made.append(measure(*arguments))
        return made[-1]

    monkeypatch.setattr(home, "measure_sensitivity", noting)
    return made


def test_other_weights_are_measured_anew(made: list[Sensitivity]) -> None:
    model, known = residual(compiled=True), home.Sensitivities()
    graph, spec = ChannelGraph(model), PruningSpec(ratio=0.5, criterion="l1_norm", scope="sensitivity")
    calibration = Calibration.of(model, blobs(), num_samples=32, seed=0)
    for _ in range(2):
        plan_prune(graph, spec, Extent(), calibration, sensitivities=known)
        assert len(made) == 1
    variance = model.get_layer("expand_bn").moving_variance
    variance.assign(2 * variance)
    plan_prune(graph, spec, Extent(), calibration, sensitivities=known)
    assert len(made) == 2


def test_the_trials_of_a_sweep_share_it(made: list[Sensitivity]) -> None:
    _run({"sweep": {"criteria": ["l1_norm", "l2_norm"], "sizes": [0.8, 0.6]}})
    assert [told.criterion for told in made] == ["l1_norm", "l2_norm"]


def test_an_interrupted_sweep_measures_again_and_ends_as_it_would_have(
    made: list[Sensitivity], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep = {"sweep": {"sizes": [0.8, 0.6]}}
    whole = _run(sweep)
    with interrupted_after(monkeypatch, 5):
        _run(sweep, tmp_path)
    assert len(made) == 2
    assert_same(whole, _run(sweep, tmp_path))
    assert made == 3 * made[:1]


def test_later_iterations_measure_the_model_that_is_left(made: list[Sensitivity]) -> None:
    _run({"target_params": 0.5, "num_iterations": 2})
    before, after = (sum(each.num_channels for each in told.groups) for told in made)
    assert after < before


def test_a_run_without_targets_compares_outputs(made: list[Sensitivity]) -> None:
    x, _ = blobs()
    result = prune(residual(), {**MEASURED, "target_params": 0.7}, {"x_train": x}, is_timed=False)
    assert result.report.after.params <= 0.7 * result.report.before.params
    assert made[0].loss is None
