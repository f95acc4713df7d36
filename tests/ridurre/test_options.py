"""Options on their way to the service and to the library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pruning.spec import PruningSpec, TrainingSpec
from ridurre.errors import InvalidOptionError, RidurreError
from ridurre.options import plain, validated
from tests.ridurre.conftest import Call
from tests.ridurre.fake_service import FakeService

pytestmark = pytest.mark.fast


def test_numbers_of_numpy_become_plain_ones() -> None:
    options = {"ratio": np.float32(0.5), "seed": np.int64(3), "include": ("a", "b"), "ratios": {"x": np.float64(0.25)}}
    expected = {"ratio": 0.5, "seed": 3, "include": ["a", "b"], "ratios": {"x": 0.25}}
    assert plain(options, "pruning") == expected
    assert [type(value) for value in plain(options, "pruning").values()] == [float, int, list, dict]
    assert plain({"a": np.array([1, 2]), "b": True}, "training") == {"a": [1, 2], "b": True}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("-inf"), {"a": [float("nan")]}])
def test_numbers_that_are_none(call: Call, service: FakeService, number: Any) -> None:
    with pytest.raises(InvalidOptionError, match=r"pruning\.ratio") as caught:
        call("submit", "mdl_1", ratio=number)
    assert caught.value.received
    assert caught.value.expected == "a finite number"
    assert service.requests == []


def test_functions_do_not_travel(call: Call, service: FakeService) -> None:
    with pytest.raises(InvalidOptionError, match=r"ridurre\.prune") as caught:
        call("submit", "mdl_1", ratio=0.5, criterion=lambda weights: weights.sum(axis=1))
    assert caught.value.field == "pruning.criterion"
    assert service.requests == []


def test_what_is_no_json(call: Call, service: FakeService) -> None:
    with pytest.raises(InvalidOptionError, match=r"training\.loss") as caught:
        call("submit", "mdl_1", ratio=0.5, training={"loss": object()})
    assert caught.value.received == "object"


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        (PruningSpec, {"ratio": 1.5}, "pruning.ratio"),
        (PruningSpec, {"ratio": 0.5, "include": ["("]}, "pruning.include.0"),
        (PruningSpec, {"ratio": 0.5, "criterion": "nonsense"}, "pruning.criterion"),
        (PruningSpec, {}, "pruning"),
        (TrainingSpec, {"epoch": 3}, "training.epoch"),
    ],
)
def test_what_a_spec_does_not_allow(kind: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(RidurreError) as caught:
        validated(kind, options, field.split(".", maxsplit=1)[0])
    assert caught.value.field == field
    assert caught.value.received
    assert caught.value.expected
    assert "pydantic" not in str(caught.value)
