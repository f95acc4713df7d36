"""The values that specs are made of, each with what is allowed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pruning.catalog import AUTO, CRITERIA
from pruning.patterns import MAX_PATTERN_CHARACTERS, why_wrong

SCHEDULES = ("constant", "linear", "exponential", "one_shot")
Scope = Literal["local", "global", "sensitivity"]
Normalisation = Literal["none", "max", "mean", "sum", "l2", "standard", "rank"]
Unit = Literal["channel", "param", "mac"]
Runtime = Literal["keras", "saved_model", "litert", "onnx", "openvino"]
LearningRateSchedule = Literal["constant", "cosine", "linear"]
Ratio = Annotated[float, Field(gt=0, lt=1)]
MAX_PERCENT = 100
"""No model has so few parameters, multiply-accumulates or bytes: a number up to this is meant as a percentage."""
TARGETS = ("target_params", "target_macs", "target_file_bytes", "target_latency")
EXTENT = f"ratio, {', '.join(TARGETS)} or max_filters_removed"


def _check_pattern(pattern: Any) -> Any:
    if isinstance(pattern, str) and len(pattern) <= MAX_PATTERN_CHARACTERS:  # the length is refused by itself
        wrong = why_wrong(pattern)
        if wrong is not None:
            message = f"{pattern!r} is not a valid regular expression: {wrong}."
            expected = f"a regular expression in RE2 syntax, of at most {MAX_PATTERN_CHARACTERS} characters"
            raise PydanticCustomError("pattern", "{message}", {"message": message, "expected": expected})
    return pattern


def _check_criterion(criterion: Any) -> Any:
    if callable(criterion) or hasattr(criterion, "select"):
        return criterion
    if not isinstance(criterion, str) or criterion not in (AUTO, *CRITERIA):
        raise ValueError(f"Unknown criterion {criterion!r}. Expected one of {', '.join([AUTO, *CRITERIA])}.")
    return criterion


def chooses_sets(criterion: Any) -> bool:
    return isinstance(criterion, str) and criterion != AUTO and not CRITERIA[criterion].ranks


def _check_schedule(schedule: Any) -> Any:
    if callable(schedule) or (isinstance(schedule, str) and schedule in SCHEDULES):
        return schedule
    raise ValueError(f"Unknown schedule {schedule!r}. Expected one of {', '.join(SCHEDULES)}.")


def _check_target(target: float) -> float:
    if target < 1 or (target > MAX_PERCENT and target == int(target)):
        return target
    context = {"expected": f"a fraction above 0 and below 1, or a whole number above {MAX_PERCENT}"}
    if 1 < target < MAX_PERCENT:
        context["hint"] = f"Did you mean {target / 100:.6g} ({target:g} % of the original)?"
    message = f"{target:g} is neither a fraction of the original nor a valid count."
    raise PydanticCustomError("target", "{message}", {"message": message, **context})


def _name(chosen: Any) -> str:
    return chosen if isinstance(chosen, str) else str(getattr(chosen, "__name__", type(chosen).__name__))


Pattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS), BeforeValidator(_check_pattern)]
CriterionLike = Annotated[
    Any,
    BeforeValidator(_check_criterion),
    PlainSerializer(_name, return_type=str),
    WithJsonSchema({"type": "string", "enum": [AUTO, *CRITERIA]}),
]
ScheduleLike = Annotated[
    Any,
    BeforeValidator(_check_schedule),
    PlainSerializer(_name, return_type=str),
    WithJsonSchema({"type": "string", "enum": list(SCHEDULES)}),
]
Target = Annotated[float, Field(gt=0), AfterValidator(_check_target)]
"""Below 1 a fraction of the original, above `MAX_PERCENT` a count."""


def _without_fields(schema: dict[str, Any]) -> None:
    if "description" in schema:  # Not where Python leaves docstrings out.
        schema["description"] = schema["description"].split("\n\nAttributes:")[0]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_without_fields)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Tell of the fields in the docstring too, where `help` and the API reference look."""
        told = [f"        {name}: {each.description}" for name, each in cls.model_fields.items() if each.description]
        if told:
            cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n\n    Attributes:\n" + "\n".join(told) + "\n    "


Name = Annotated[str, Field(min_length=1, max_length=256)]
OptionText = Annotated[str, Field(max_length=1000)]
