"""The only map from errors to HTTP: every failure becomes a problem document (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.body_limit import BodyTooLargeError
from api.explain import FieldError, encodable, explain
from api.ranges import RangeNotSatisfiableError
from jobs.errors import UploadTooLargeError, problem_title, problem_type
from pruning.catalog import CRITERIA
from pruning.errors import PruningError, SpecError, UnknownCriterionError

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
    field: str | None = Field(default=None, description="Dotted path of the input that is wrong.")
    received: str | None = None
    expected: str | None = None
    hint: str | None = Field(default=None, description="How to fix it.")
    errors: list[FieldError] | None = Field(default=None, description="All wrong fields, if there are several.")


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
    first, *others = errors = explain(error.errors())
    code = SpecError.code
    if first.field == "pruning.criterion":
        code = UnknownCriterionError.code
        first = first.model_copy(update={"expected": f"one of {', '.join(CRITERIA)}"})
        errors = [first, *others]
    detail = f"{first.field}: {first.detail}" if not others else f"{len(errors)} fields are wrong"
    return _answer(
        code,
        detail,
        field=first.field,
        received=first.received,
        expected=first.expected,
        errors=errors if others else None,
    )


def _on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, BodyTooLargeError):
        expected = f"at most {error.max_bytes} bytes"
        return _answer(
            UploadTooLargeError.code, str(error.detail), field="body", received=error.received, expected=expected
        )
    if isinstance(error, RangeNotSatisfiableError):
        expected = f"a range within {error.size_bytes} bytes"
        answer = _answer(
            "range-not-satisfiable", str(error.detail), field="Range", received=error.received, expected=expected
        )
        answer.headers.update(error.headers or {})
        return answer
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    details = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not possible here"}
    answer = _answer(code, details.get(error.status_code, str(error.detail)), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def _on_disconnect(request: Request, error: Exception) -> JSONResponse:
    return _answer("bad-request", "the client went away", 400)


def _on_unexpected_error(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer("internal-error", "something went wrong on our side; the log of the server says what")
