"""Options of the command that come from the fields of a spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from pruning.spec import PruningSpec, TrainingSpec
from ridurre.cli.options import PRUNING, TRAINING, Asked, PruneOptions
from ridurre.spec_options import spec_options

pytestmark = pytest.mark.fast


class Inner(BaseModel):
    names: list[str] = []
    depth: int | None = None


class Outer(BaseModel):
    share: Annotated[float, Field(gt=0)] | None = Field(default=None, description="How much. Default: nothing.")
    kind: Literal["one", "two"] = "one"
    count: int | Literal["auto"] = "auto"
    is_fast: bool = False
    names: list[str] = []
    inner: Inner | None = None
    either: float | Inner | None = None
    free: dict[str, int] = {}


def test_what_is_plain_has_an_option() -> None:
    found = {option.name: option.path for option in spec_options(Outer, "panel")}
    assert found == {
        "share": ("share",),
        "kind": ("kind",),
        "count": ("count",),
        "is_fast": ("is_fast",),
        "names": ("names",),
        "inner_names": ("inner", "names"),
        "inner_depth": ("inner", "depth"),
        "either": ("either",),
    }


def test_the_first_sentence_is_the_help() -> None:
    share, *_ = spec_options(Outer, "panel")
    assert share.annotation.__metadata__[0].help == "How much."


def given(*arguments: str) -> Asked:
    """Return what the command takes from these arguments."""
    from ridurre.cli.grouped import with_options

    taken: list[Asked] = []

    def command(options: PruneOptions) -> None:
        taken.append(options)

    app = typer.Typer()
    app.command()(with_options(command))
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return taken[0]


def test_options_go_where_their_fields_are() -> None:
    asked = given(
        *("--ratio", "0.5", "--iterations", "3", "--runtime", "onnx", "--runtime", "litert", "--no-reconstruction"),
        *("--sweep-sizes", "0.6,0.4", "--baselines", "random,uniform_l1", "--baselines-num-seeds", "2"),
        *("--fine-tuning-epochs", "auto", "--distillation-weight", "0.7", "--seed", "4"),
    )
    pruning: dict[str, Any] = dict(asked.for_pruning())
    assert pruning == {
        "ratio": 0.5,
        "num_iterations": 3,
        "runtimes": ["onnx", "litert"],
        "reconstruction": False,
        "sweep": {"sizes": [0.6, 0.4]},
        "baselines": {"methods": ["random", "uniform_l1"], "num_seeds": 2},
        "seed": 4,
    }
    assert asked.for_training() == {"fine_tuning_epochs": "auto", "distillation": {"weight": 0.7}, "seed": 4}
    PruningSpec.model_validate(pruning)
    TrainingSpec.model_validate(asked.for_training())


def test_an_option_beats_what_json_says_of_its_field_and_leaves_the_rest() -> None:
    asked = given("--ratio", "0.5", "--pruning", '{"ratio": 0.1, "search": {"max_trials": 2}}', "--search-epochs", "9")
    assert asked.for_pruning()["ratio"] == 0.5
    assert asked.for_pruning()["search"] == {"max_trials": 2, "max_epochs": 9}


def test_no_two_fields_of_a_spec_share_an_option() -> None:
    for options in (PRUNING, TRAINING):
        assert len({option.name for option in options}) == len(options)


def test_json_says_what_no_option_says() -> None:
    assert given("--pruning", '{"criterion": "taylor", "ratio": 0.5}').for_pruning()["criterion"] == "taylor"
    asked = given("--ratio", "0.5", "--training", '{"augmentation": "auto"}', "--augmentation-crop", "2")
    assert asked.for_training() == {"augmentation": {"crop": 2}}


@pytest.mark.parametrize("text", ['{"training": {"epochs": 1}, "ratio": 0.5}', '{"model": "m", "ratio": 0.5}'])
def test_json_of_something_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="Unknown pruning field"):
        given("--pruning", text).for_pruning()


def test_a_sweep_that_is_none_is_left_to_the_spec() -> None:
    assert given("--pruning", '{"sweep": [1], "ratio": 0.5}').for_pruning()["sweep"] == [1]
    with pytest.raises(typer.BadParameter, match="Set at least one of"):
        given("--pruning", '{"sweep": [1]}').for_pruning()
