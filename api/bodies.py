"""Bodies that hold no spec at all: said in one problem that names the header that they need."""

from __future__ import annotations

from typing import Any

from pruning.field_errors import FieldError, shortened

HINT = "Send the spec as a JSON object with the header Content-Type: application/json."


def wrong_body(errors: list[Any], body: Any, content_type: str | None) -> FieldError | None:
    """Return what is wrong with a body as a whole, or `None` if its fields are what is wrong."""
    error = errors[0]
    place, *path = error["loc"]
    if error["type"] == "json_invalid":
        reason = error["ctx"]["error"]
        return _wrong(f"The body is not valid JSON: {reason} at character {path[0]}.", shortened(str(body)))
    if place != "body" or path:
        return None
    if isinstance(body, bytes):
        return FieldError(
            field="Content-Type",
            received=content_type or "no Content-Type",
            expected="application/json",
            detail="The body is not sent as JSON.",
        )
    return _wrong("The body is empty.", "an empty body or null") if body is None else None


def unreadable_body(cause: BaseException) -> FieldError:
    """Return what is wrong with a body that Python could not take for JSON."""
    if isinstance(cause, UnicodeDecodeError):
        return _wrong("The body is not valid UTF-8.", repr(cause.object[cause.start :][:20]))
    if isinstance(cause, RecursionError):
        return _wrong("The body is nested too deeply.", "too many nested lists or objects")
    return _wrong("Cannot parse the body as JSON.", shortened(str(cause)))


def _wrong(detail: str, received: str) -> FieldError:
    return FieldError(field="body", received=received, expected="a JSON object in UTF-8", detail=detail)
