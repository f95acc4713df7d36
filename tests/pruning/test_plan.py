"""PruningPlan: frozen, checked, composed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pruning.errors import PlanError
from pruning.plan import GroupPlan, LayerPlan, PlanDiff, PruningPlan, compose, diff

pytestmark = pytest.mark.fast


def plan(num_channels: int, keep: tuple[int, ...]) -> PruningPlan:
    group = GroupPlan(name="g", layers=("g",), num_channels=num_channels, keep=keep)
    layer = LayerPlan(
        path="g", kind="Dense", channels_before=num_channels, channels_after=len(keep),
        params_before=num_channels, params_after=len(keep), macs_before=2 * num_channels, macs_after=2 * len(keep),
    )  # fmt: skip
    return PruningPlan(
        fingerprint=f"f{num_channels}", criterion="random", groups=(group,), layers=(layer,),
        params_before=num_channels, params_after=len(keep),
    )  # fmt: skip


@pytest.mark.parametrize("keep", [(), (1, 0), (0, 0), (0, 4), (-1, 0)])
def test_keep_is_checked(keep: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="keep"):
        plan(4, keep)


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        plan(4, (0,)).criterion = "kmeans"  # type: ignore[misc]


def test_json_there_and_back() -> None:
    made = plan(4, (0, 2))
    assert PruningPlan.model_validate_json(made.model_dump_json()) == made


def test_two_plans_in_turn_are_one() -> None:
    both = compose(plan(5, (0, 2, 4)), plan(3, (1, 2)))
    assert both.groups[0].keep == (2, 4)
    assert (both.fingerprint, both.params_before, both.params_after) == ("f5", 5, 2)
    assert both.layers[0].channels_after == 2
    assert both.layers[0].macs_after == 4


def test_reasons_of_two_plans_in_turn_are_told_once() -> None:
    def because(made: PruningPlan, why: str) -> PruningPlan:
        return made.model_copy(update={"groups": (made.groups[0].model_copy(update={"why": why}),)})

    both = compose(because(plan(5, (0, 2, 4)), "ratio 0.4"), because(plan(3, (1, 2)), "ratio 0.4; min_channels 2"))
    assert both.groups[0].why == "ratio 0.4; min_channels 2"


def test_version_1_is_read() -> None:
    made = plan(4, (0, 2)).model_dump(mode="json")
    made["schema_version"] = 1
    for part in (*made["groups"], *made["layers"]):
        del part["why"]
    assert PruningPlan.model_validate(made).groups == plan(4, (0, 2)).groups
    with pytest.raises(ValidationError, match="schema_version"):
        PruningPlan.model_validate({**made, "schema_version": 3})


def test_the_difference_of_two_plans() -> None:
    found = diff(plan(5, (0, 2, 4)), plan(5, (1, 2)))
    assert (found.groups[0].only_first, found.groups[0].only_second, found.groups[0].kept) == ((0, 4), (1,), (3, 2))
    assert (found.layers[0].channels, found.params) == ((3, 2), (3, 2))
    assert str(found) == "g: 3 → 2 of 5 channels, 2 only in the first, 1 only in the second\nparameters: 3 → 2"
    assert PlanDiff.model_validate_json(found.model_dump_json()) == found
    assert diff(plan(5, (0, 1)), plan(5, (0, 1))).groups == ()


def test_plans_for_different_models_have_no_difference() -> None:
    with pytest.raises(PlanError, match="different architectures"):
        diff(plan(5, (0,)), plan(4, (0,)))
