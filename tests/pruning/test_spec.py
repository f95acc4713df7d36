"""PruningSpec and TrainingSpec: what can be asked and what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pruning.errors import SpecError
from pruning.spec import PruningSpec, TrainingSpec, checked

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ratio": 0}, "ratio"),
        ({"ratio": 1}, "ratio"),
        ({"ratio": -0.1}, "ratio"),
        ({"target_params": 1.5}, "target_params"),
        ({"target_macs": 1}, "target_macs"),
        ({"target_latency": {}}, "target_latency"),
        ({"target_latency": {"share": 0.5, "seconds": 1}}, "target_latency"),
        ({"ratio": 0.5, "schedule": "sudden"}, "schedule"),
        ({"ratio": 0.5, "round_to": 0}, "round_to"),
        ({"ratio": 0.5, "min_channels_by_layer": {"(": 2}}, "min_channels_by_layer"),
        ({"ratio": 0.5, "criterion": "l7_norm"}, "criterion"),
        ({"ratio": 0.5, "exclude": ["(unclosed"]}, "exclude"),
        ({"ratio": 0.5, "num_iterations": 0}, "num_iterations"),
        ({"ratio": 0.5, "rato": 1}, "rato"),
        ({"ratio": 0.5, "ratios": {".*": 1.0}}, "ratios"),
    ],
)
def test_nonsense_is_refused_by_field(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PruningSpec.model_validate(wrong)
    assert field in {str(part) for part in caught.value.errors()[0]["loc"]}


@pytest.mark.parametrize("field", ["target_params", "target_macs", "target_file_bytes"])
@pytest.mark.parametrize(
    ("asked", "meant"),
    [(40, "0.4 (40 %"), (2, "0.02 (2 %"), (99.5, "0.995 (99.5 %"), (1.5, "0.015 (1.5 %"), (1, None), (100, None)],
)
def test_a_percentage_is_asked_back(field: str, asked: float, meant: str | None) -> None:
    with pytest.raises(SpecError) as caught:
        checked(PruningSpec, {field: asked}, "pruning")
    assert caught.value.field == f"pruning.{field}"
    assert "above 0 and below 1" in str(caught.value.expected)
    assert caught.value.hint == (meant and f"Did you mean {meant} of the original)?")


@pytest.mark.parametrize("asked", [0.4, 0.999, 101, 1e12])
def test_shares_and_counts_are_targets(asked: float) -> None:
    assert PruningSpec(target_macs=asked).targets == {"target_macs": asked}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"search": {}, "ratio": 0.5},
        {"sweep": {}},
        {"sweep": {"criteria": ["l1_norm"]}, "max_metric_drop": 0.01},
        {"schedule": "linear", "ratio": 0.1},
        {"schedule": lambda i, n: 1.0, "ratio": 0.1},
    ],
)
def test_a_spec_says_how_far_to_go(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"[Ss]et (one of|sizes|criteria)|A search finds|needs num_iterations"):
        PruningSpec.model_validate(wrong)


def test_a_drop_alone_asks_for_the_smallest_model_within_it() -> None:
    assert PruningSpec(max_metric_drop=0.01).smallest is not None
    assert PruningSpec(max_metric_drop=0.01, target_params=0.5).smallest is None
    assert PruningSpec(max_metric_drop=0.01, sweep={"sizes": [0.5]}).smallest is None


def test_json_there_and_back() -> None:
    spec = PruningSpec(criterion="kmeans", ratio=0.1, exclude=["stem.*"], ratios={"conv": 0.3})
    assert PruningSpec.model_validate_json(spec.model_dump_json()) == spec


def test_a_users_function_is_taken_and_written_by_name() -> None:
    def mine(weights: object) -> object:
        return weights

    assert PruningSpec(criterion=mine, ratio=0.1).model_dump()["criterion"] == "mine"


def test_the_schema_lists_the_criteria() -> None:
    assert {"random", "kmeans", "l1_norm"} <= set(PruningSpec.model_json_schema()["properties"]["criterion"]["enum"])


def test_training_takes_names_and_options() -> None:
    spec = TrainingSpec.model_validate({"optimizer": {"name": "sgd", "options": {"momentum": 0.9}}, "loss": "mse"})
    assert TrainingSpec.model_validate_json(spec.model_dump_json()) == spec


def test_importances_below_zero_are_not_weighed_against_costs() -> None:
    with pytest.raises(ValidationError, match="Negative importances"):
        PruningSpec(ratio=0.5, scope="global", normalisation="standard", importance_per="mac")


@pytest.mark.parametrize(
    ("asked", "unit"),
    [
        ({"scope": "global", "target_params": 0.5}, "channel"),
        ({"scope": "sensitivity", "target_params": 0.5}, "param"),
        ({"scope": "sensitivity", "target_file_bytes": 0.5}, "param"),
        ({"scope": "sensitivity", "target_latency": 0.5, "target_params": 0.5}, "mac"),
        ({"scope": "sensitivity", "target_macs": 0.5, "importance_per": "channel"}, "channel"),
        ({"scope": "sensitivity", "ratio": 0.5}, "channel"),
    ],
)
def test_sensitivity_is_weighed_against_what_the_target_limits(asked: dict[str, Any], unit: str) -> None:
    assert PruningSpec(**asked).weighed_per == unit


def test_sets_are_not_ranked_globally() -> None:
    with pytest.raises(SpecError, match="kmeans chooses sets") as caught:
        checked(PruningSpec, {"criterion": "kmeans", "scope": "global", "ratio": 0.5}, "pruning")
    assert caught.value.field == "pruning.scope"
    assert caught.value.expected == "scope local, or a criterion that scores channels, such as l1_norm"


def test_what_is_not_valid_is_one_of_our_errors() -> None:
    with pytest.raises(SpecError, match="greater than 0") as caught:
        checked(PruningSpec, {"ratio": -1, "rato": 2}, "pruning")
    assert (caught.value.field, caught.value.received) == ("pruning.ratio", "-1")
    assert "pruning.rato" in str(caught.value)
    spec = PruningSpec(ratio=0.5)
    assert checked(PruningSpec, spec, "pruning") == spec


def test_a_field_that_there_is_none_of_is_told_with_the_one_meant() -> None:
    with pytest.raises(SpecError, match=r"pruning.excludes: Unknown field.*one of criterion,.*'exclude'"):
        checked(PruningSpec, {"ratio": 0.5, "excludes": ["conv"]}, "pruning")


def test_the_docstring_tells_of_the_fields_and_the_schema_does_not_repeat_them() -> None:
    for kind in (PruningSpec, TrainingSpec):
        told = [name for name, field in kind.model_fields.items() if field.description]
        assert told
        assert all(f"        {name}: " in str(kind.__doc__) for name in told)
        assert "Attributes:" not in kind.model_json_schema()["description"]
