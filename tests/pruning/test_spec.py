"""PruningSpec and TrainingSpec: what can be asked and what cannot."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pruning.spec import PruningSpec, TrainingSpec

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ratio": 0}, "ratio"),
        ({"ratio": 1}, "ratio"),
        ({"ratio": -0.1}, "ratio"),
        ({"target_params": 1.5}, "target_params"),
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


@pytest.mark.parametrize("wrong", [{}, {"schedule": "linear", "ratio": 0.1}])
def test_a_spec_says_how_far_to_go(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="give"):
        PruningSpec.model_validate(wrong)


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
