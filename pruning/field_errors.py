"""The only translator of what pydantic finds wrong: which field, what was received, what was expected."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from pruning.json_schema import JsonSchema, Path

MAX_RECEIVED_CHARACTERS = 200
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class FieldError(BaseModel):
    """One invalid field."""

    field: str
    received: str | None = None
    expected: str | None = None
    hint: str | None = None
    detail: str


def field_errors(errors: Sequence[Mapping[str, Any]], schema: JsonSchema, value: Any = None) -> list[FieldError]:
    """Return one error for each wrong field.

    Args:
        errors: What `pydantic.ValidationError.errors()` returns.
        schema: Of what was validated.
        value: What was validated, as JSON has it, if it is to be shown where it has none of several forms.
    """
    found: dict[str, FieldError] = {}
    for error in errors:
        translated = _translated(error, schema, value)
        found.setdefault(translated.field, translated)
    return list(found.values())


def detail_of(error: Mapping[str, Any]) -> str:
    """Return what is wrong as a short sentence; pydantic's own have no full stop."""
    messages = {"missing": "This field is required.", "extra_forbidden": "Unknown field."}
    message: str = messages.get(error["type"], error["msg"])
    return f"{encodable(message.removeprefix('Value error, ')).removesuffix('.')}."


def shortened(text: str) -> str:
    """Return what was received, fit to be shown."""
    text = encodable(text)
    return text if len(text) <= MAX_RECEIVED_CHARACTERS else text[:MAX_RECEIVED_CHARACTERS] + "…"


def encodable(text: str) -> str:
    """Spell out what JSON can escape and UTF-8 cannot write: halves of surrogate pairs."""
    return _LONE_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def dotted(path: Path) -> str:
    """Return a path as people write it."""
    return encodable(".".join(str(part) for part in path))


def _translated(error: Mapping[str, Any], schema: JsonSchema, value: Any) -> FieldError:
    path, context = list(error["loc"]), error.get("ctx", {})
    if path[-1:] == ["[key]"]:
        path = path[:-2]
    union = schema.union_on(path)
    if union is not None:
        return FieldError(
            field=dotted(union),
            received=None if value is None else _shown(_at(value, union)),
            expected=schema.describe(union),
            detail="The value has none of the allowed forms.",
        )
    # A check of our own can say which field it is about, what was expected and how to fix it.
    path = [*path, context["field"]] if "field" in context else path
    is_unknown = error["type"] == "extra_forbidden"
    names = schema.names(path[:-1]) if is_unknown else []
    is_ours = "expected" in context and error["type"] not in ("enum", "literal_error")
    return FieldError(
        field=dotted(path),
        received=None if error["type"] == "missing" or "field" in context else _shown(error.get("input")),
        expected=context["expected"] if is_ours else f"one of {', '.join(names)}" if names else schema.describe(path),
        hint=_nearest(str(path[-1]), names) if is_unknown else context.get("hint"),
        detail=detail_of(error),
    )


def _nearest(name: str, names: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else None


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _shown(value: Any) -> str:
    return shortened(json.dumps(value, default=str, ensure_ascii=False))
