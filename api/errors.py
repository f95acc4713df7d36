"""The only map from errors to HTTP: every failure becomes a problem document (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.bodies import HINT, unreadable_body, wrong_body
from api.body_limit import BodyTooLargeError
from api.explain import explain
from api.ranges import RangeNotSatisfiableError
from jobs.errors import UploadTooLargeError, problem_title, problem_type
from pruning.catalog import CRITERIA
from pruning.errors import PruningError, SpecError, UnknownCriterionError
from pruning.field_errors import FieldError, encodable

STATUS_BY_CODE: dict[str, int] = {
    "not-found": 404,
    "conflict": 409,
    "upload-too-large": 413,
    "unsupported-file": 415,
    "range-not-satisfiable": 416,
    "invalid-spec": 422,
    "unknown-criterion": 422,
    "unusable-model": 422,
    "unusable-dataset": 422,
    "internal-error": 500,
    "service-unavailable": 503,
}
RETRY_AFTER_SECONDS = 5

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid-spec"])
    title: str = Field(examples=["Invalid spec"])
    status: int = Field(examples=[422])
    detail: str
    field: str | None = Field(default=None, description="Dotted path of the invalid input.")
    received: str | None = None
    expected: str | None = None
    hint: str | None = Field(default=None, description="How to fix it.")
    errors: list[FieldError] | None = Field(default=None, description="All invalid fields, if there are several.")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route for its OpenAPI operation."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {"application/problem+json": {"schema": schema}}}
        for status in (*statuses, 503)
    }


def install_error_handlers(app: FastAPI) -> None:
    """Answer every failure of `app` with a problem document."""
    app.add_exception_handler(PruningError, _on_pruning_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected_error)


def _answer(code: str, detail: str, status: int | None = None, **fields: Any) -> JSONResponse:
    texts: dict[str, Any] = {
        name: encodable(value) if isinstance(value, str) else value for name, value in fields.items()
    }
    problem = Problem(
        type=problem_type(code),
        title=problem_title(code),
        status=STATUS_BY_CODE[code] if status is None else status,
        detail=encodable(detail),
        **texts,
    )
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if problem.status == 503 else None
    return JSONResponse(
        problem.model_dump(exclude_none=True), problem.status, headers, media_type="application/problem+json"
    )


def _on_pruning_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PruningError)
    fields = error.as_dict()
    code = fields.pop("code")
    if code not in STATUS_BY_CODE:
        return _on_unexpected_error(request, error)
    return _answer(code, fields.pop("detail"), **fields)


def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    raw = list(error.errors())
    wrong = wrong_body(raw, error.body, request.headers.get("content-type"))
    if wrong is not None:
        return _wrong_body(wrong)
    first, *others = errors = explain(raw, error.body)
    code = SpecError.code
    if first.field == "pruning.criterion":
        code = UnknownCriterionError.code
        first = first.model_copy(update={"expected": f"one of {', '.join(CRITERIA)}"})
        errors = [first, *others]
    detail = f"{first.field}: {first.detail}" if not others else f"{len(errors)} fields are invalid."
    return _answer(
        code,
        detail,
        field=first.field,
        received=first.received,
        expected=first.expected,
        errors=errors if others else None,
        hint=HINT if first.field == "body" else first.hint,
    )


def _wrong_body(wrong: FieldError) -> JSONResponse:
    return _answer(SpecError.code, **wrong.model_dump() | {"hint": HINT})


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, BodyTooLargeError):
        expected = f"at most {error.max_bytes} bytes"
        return _answer(
            UploadTooLargeError.code, str(error.detail), field="body", received=error.received, expected=expected
        )
    cause = error.__cause__
    if error.status_code == 400 and cause is not None and not isinstance(cause, ClientDisconnect):
        return _wrong_body(unreadable_body(cause))  # FastAPI's answer to a body that raises while it is parsed
    if isinstance(error, RangeNotSatisfiableError):
        expected = f"a range within {error.size_bytes} bytes"
        answer = _answer(
            "range-not-satisfiable", str(error.detail), field="Range", received=error.received, expected=expected
        )
        answer.headers.update(error.headers or {})
        return answer
    return _no_route(request, error)


def _no_route(request: Request, error: HTTPException) -> JSONResponse:
    """Say that there is no such path or method."""
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    headers = Headers(error.headers)
    path, method = request.url.path[:200], request.method
    details = {404: f"There is no resource at {path}.", 405: f"{method} is not allowed here."}
    fields: dict[int, dict[str, str]] = {
        404: {"field": "path", "received": path, "expected": "a path in /openapi.json"},
        405: {"field": "method", "received": method, "expected": f"one of {headers.get('allow', '')}"},
    }
    detail = details.get(error.status_code, str(error.detail))
    answer = _answer(code, detail, error.status_code, **fields.get(error.status_code, {}))
    answer.headers.update(headers)
    return answer


def _on_disconnect(request: Request, error: Exception) -> JSONResponse:
    return _answer("bad-request", "The client disconnected.", 400)


def _on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer("internal-error", "An internal error occurred. See the server log for details.")
