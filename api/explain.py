"""What pydantic found wrong, in our words: the field, what came and what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from jobs.spec import JobSpec

MAX_RECEIVED_CHARACTERS = 200
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str
    received: str | None = None
    expected: str | None = None
    hint: str | None = None
    detail: str


def encodable(text: str) -> str:
    """Spell out what JSON can escape and UTF-8 cannot write: halves of surrogate pairs."""
    return LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shortened(text: str) -> str:
    """Return what came, fit to be shown."""
    text = encodable(text)
    return text if len(text) <= MAX_RECEIVED_CHARACTERS else text[:MAX_RECEIVED_CHARACTERS] + "…"


def explain(errors: Sequence[Any], body: Any = None) -> list[FieldError]:
    """Turn pydantic's errors into ours, one for each field.

    Args:
        errors: From pydantic, about `body` or about parameters.
        body: What came, where it was JSON.
    """
    explained: dict[str, FieldError] = {}
    for error in errors:
        place, *path = error["loc"]
        found = _in_body(error, path, body) if place == "body" else _in_parameter(error, place, path)
        explained.setdefault(found.field, found)
    return list(explained.values())


def _in_body(error: dict[str, Any], path: list[int | str], body: Any) -> FieldError:
    context = error.get("ctx", {})
    if path[-1:] == ["[key]"]:
        path = path[:-2]
    union = _union_in(path)
    if union is not None:
        node, path = union
        return FieldError(
            field=_dotted(path),
            received=_shown(_at(body, path)),
            expected=_described(node),
            detail="this has none of the forms that are possible here",
        )
    is_missing = error["type"] == "missing" or "field" in context
    path = [*path, context["field"]] if "field" in context else path
    return FieldError(
        field=_dotted(path) or "body",
        received=None if is_missing else _shown(error.get("input")),
        expected=context["expected"] if _is_ours(error) else _expected(error["type"], path),
        hint=context.get("hint"),
        detail=_sentence(error),
    )


def _in_parameter(error: dict[str, Any], place: str, path: list[int | str]) -> FieldError:
    field = _dotted(path) or place
    return FieldError(
        field=field.title() if place == "header" else field,
        received=None if error["type"] == "missing" else shortened(str(error.get("input"))),
        expected=_expected_parameter(error),
        detail=_sentence(error),
    )


def _is_ours(error: dict[str, Any]) -> bool:
    """Return whether a check of the spec's own says what it expects; pydantic's words for enums are others."""
    return "expected" in error.get("ctx", {}) and error["type"] not in ("enum", "literal_error")


def _dotted(path: Sequence[int | str]) -> str:
    return encodable(".".join(str(part) for part in path))


def _at(body: Any, path: Sequence[int | str]) -> Any:
    for part in path:
        body = body[part]
    return body


def _sentence(error: dict[str, Any]) -> str:
    messages = {"missing": "this field is required", "extra_forbidden": "there is no such field"}
    message: str = messages.get(error["type"], error["msg"])
    return encodable(message.removeprefix("Value error, "))


def _shown(value: Any) -> str:
    return shortened(json.dumps(value, default=str, ensure_ascii=False))


def _expected_parameter(error: dict[str, Any]) -> str:
    """Say what a parameter may be, from what pydantic says of the check that failed."""
    context = error.get("ctx", {})
    expectations = {
        "greater_than_equal": "at least {ge:g}",
        "less_than_equal": "at most {le:g}",
        "string_too_short": "at least {min_length} characters",
        "string_too_long": "at most {max_length} characters",
        "int_parsing": "an integer",
        "float_parsing": "a number",
        "missing": "a text",
    }
    if error["type"] == "enum":
        return f"one of {context['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    return expectations.get(error["type"], _sentence(error)).format_map(context)


@cache
def _schema() -> dict[str, Any]:
    return JobSpec.model_json_schema()


def _expected(kind: str, path: Sequence[int | str]) -> str | None:
    """Say what the job schema asks for at a path."""
    parent = kind == "extra_forbidden"
    node: dict[str, Any] = _schema()
    for part in path[:-1] if parent else path:
        found = _step(_plain(node), part)
        if found is None:
            return None
        node = found
    node = _plain(node)
    if parent:
        return f"one of {', '.join(node['properties'])}" if "properties" in node else None
    return _described(node)


def _union_in(path: Sequence[int | str]) -> tuple[dict[str, Any], list[int | str]] | None:
    """Return the first union on a path and the path to it: what follows names pydantic's branches, not fields."""
    node: dict[str, Any] | None = _schema()
    for length, part in enumerate(path):
        node = _plain(node) if node is not None else None
        if node is None:
            return None
        if "anyOf" in node:
            return node, list(path[:length])
        node = _step(node, part)
    return None


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and leave out the alternative of being absent."""
    while True:
        choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
        if "$ref" in node:
            node = _schema()["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        elif len(choices) == 1:
            node = choices[0]
        else:
            return node


def _step(node: dict[str, Any], part: int | str) -> dict[str, Any] | None:
    if isinstance(part, int):
        return node.get("items")
    found = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _described(node: dict[str, Any]) -> str | None:
    if "anyOf" in node:
        choices = [_plain(choice) for choice in node["anyOf"] if choice.get("type") != "null"]
        return ", or ".join(text for choice in choices if (text := _described(choice)) is not None)
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    if "properties" in node:
        return f"an object with {', '.join(node['properties'])}" if len(node["properties"]) <= 2 else "an object"
    items, values = node.get("items"), node.get("additionalProperties")
    if isinstance(items, dict) and "anyOf" in items:
        return f"a list, each of it {_described(items)}"
    if isinstance(values, dict) and "anyOf" in values:
        return f"an object by name, each value {_described(values)}"
    nouns = {"number": "a number", "integer": "an integer", "string": "a text", "boolean": "true or false"}
    nouns |= {"array": "a list", "object": "an object"}
    noun = nouns.get(str(node.get("type")))
    if noun is None:
        return None
    return f"{noun} {_bounds(node)}".strip()


def _bounds(node: dict[str, Any]) -> str:
    if "maxLength" in node:
        return f"of {node.get('minLength', 0)} to {node['maxLength']} characters"
    bounds = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
    }
    return " and ".join(f"{words} {node[name]:g}" for name, words in bounds.items() if name in node)
