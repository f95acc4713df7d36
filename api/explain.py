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
UNION_BRANCHES = ("str", "NamedOptions", "dict", "list")
PLACES = ("body", "query", "path", "header")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str
    received: str | None = None
    expected: str | None = None
    detail: str


def encodable(text: str) -> str:
    """Spell out what JSON can escape and UTF-8 cannot write: halves of surrogate pairs."""
    return LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def explain(errors: Sequence[Any]) -> list[FieldError]:
    """Turn pydantic's errors into ours, one for each field."""
    explained: dict[str, FieldError] = {}
    for error in errors:
        place, *path = error["loc"]
        if place not in PLACES:
            place, path = "body", list(error["loc"])
        path = [part for part in path if not str(part).startswith(UNION_BRANCHES)]
        field = encodable(".".join(str(part) for part in path)) or place
        if error["type"] == "json_invalid":
            explained[place] = FieldError(field=place, expected="valid JSON", detail="the body is not valid JSON")
        elif field not in explained:
            explained[field] = FieldError(
                field=field,
                received=None if error["type"] == "missing" else _shown(error.get("input")),
                expected=_expected(error["type"], path) if place == "body" else None,
                detail=_sentence(error),
            )
    return list(explained.values())


def _sentence(error: dict[str, Any]) -> str:
    messages = {"missing": "this field is required", "extra_forbidden": "there is no such field"}
    message: str = messages.get(error["type"], error["msg"])
    return encodable(message.removeprefix("Value error, "))


def _shown(value: Any) -> str:
    text = encodable(json.dumps(value, default=str, ensure_ascii=False))
    return text if len(text) <= MAX_RECEIVED_CHARACTERS else text[:MAX_RECEIVED_CHARACTERS] + "…"


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
    if "enum" in node:
        return f"one of {', '.join(map(str, node['enum']))}"
    nouns = {"number": "a number", "integer": "an integer", "string": "a text", "boolean": "true or false"}
    nouns |= {"array": "a list", "object": "an object"}
    noun = nouns.get(str(node.get("type")))
    if noun is None:
        return None
    bounds = {
        "exclusiveMinimum": "above",
        "minimum": "at least",
        "exclusiveMaximum": "below",
        "maximum": "at most",
        "minLength": "with at least this many characters:",
        "maxLength": "with at most this many characters:",
    }
    said = [f"{words} {node[name]:g}" for name, words in bounds.items() if name in node]
    return " ".join((noun, " and ".join(said))).strip()
