"""Errors of a request, in its body or its parameters, one for each wrong field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jobs.spec import JobSpec
from pruning.field_errors import FieldError, detail_of, dotted, field_errors, shortened
from pruning.json_schema import JsonSchema


def explain(errors: Sequence[Mapping[str, Any]], body: Any = None) -> list[FieldError]:
    """Translate the errors that FastAPI collects.

    Args:
        errors: About `body` or about parameters.
        body: What was received, if it was JSON.
    """
    in_body = [{**error, "loc": error["loc"][1:]} for error in errors if error["loc"][0] == "body"]
    parameters = [_of_parameter(error) for error in errors if error["loc"][0] != "body"]
    found = field_errors(in_body, _schema(), body)
    return parameters + [each if each.field else each.model_copy(update={"field": "body"}) for each in found]


@cache
def _schema() -> JsonSchema:
    return JsonSchema(JobSpec.model_json_schema())


def _of_parameter(error: Mapping[str, Any]) -> FieldError:
    place, *path = error["loc"]
    field = dotted(path) or place
    return FieldError(
        field=field.title() if place == "header" else field,
        received=None if error["type"] == "missing" else shortened(str(error.get("input"))),
        expected=_expected(error),
        detail=detail_of(error),
    )


def _expected(error: Mapping[str, Any]) -> str:
    """Say what a parameter can be, from what pydantic says of the check that failed."""
    context = error.get("ctx", {})
    expectations = {
        "greater_than_equal": "at least {ge:g}",
        "less_than_equal": "at most {le:g}",
        "string_too_short": "at least {min_length} characters",
        "string_too_long": "at most {max_length} characters",
        "int_parsing": "an integer",
        "float_parsing": "a number",
        "missing": "a string",
    }
    if error["type"] == "enum":
        return f"one of {context['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    return expectations.get(error["type"], detail_of(error).removesuffix(".")).format_map(context)
