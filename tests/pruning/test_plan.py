"""PruningPlan: frozen, checked, composed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pruning.plan import GroupPlan, LayerPlan, PruningPlan, compose

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
