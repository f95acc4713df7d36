"""From HTTP answers to values and errors."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from pruning.field_errors import field_errors
from pruning.json_schema import JsonSchema
from ridurre.errors import ServiceUnreachableError, UnexpectedAnswerError, problem_error
from ridurre.objects import Job

Answer = TypeVar("Answer", bound=BaseModel)


def raise_for_problem(response: httpx.Response) -> None:
    """Raise unless the answer, whose body has been read, is a success or a 304.

    Raises:
        ProblemError: The service refused.
        UnexpectedAnswerError: An error that is not a problem document.
    """
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        raise problem_error(json_of(response), status=response.status_code)
    raise UnexpectedAnswerError(
        f"{response.request.method} {response.request.url} returned status {response.status_code}.",
        received=response.text[:200] or None,
        expected="application/problem+json",
        hint="Check that the URL is that of a Ridurre service.",
    )


def json_of(response: httpx.Response) -> Any:
    """Return the decoded body.

    Raises:
        UnexpectedAnswerError: The body is not a JSON object.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UnexpectedAnswerError(
            f"{response.request.method} {response.request.url} did not return a JSON object.",
            received=response.text[:200],
            hint="Check that the URL is that of a Ridurre service.",
        )
    return body


def parse(kind: type[Answer], body: Any) -> Answer:
    """Read one object of the contract.

    Raises:
        UnexpectedAnswerError: A field is missing or of another type.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        wrong = field_errors(error.errors(), JsonSchema(kind.model_json_schema()), body)[0]
        raise UnexpectedAnswerError(
            f"The response is not a valid {kind.__name__}: {wrong.detail}",
            field=wrong.field,
            received=wrong.received,
            expected=wrong.expected,
            hint="The client and the service may have different versions.",
        ) from error


def job_of(response: httpx.Response) -> Job:
    """Read a job."""
    return parse(Job, json_of(response))


def unreachable(
    url: str, error: httpx.TransportError | httpx.InvalidURL | httpx.UnsupportedProtocol
) -> ServiceUnreachableError:
    """Return the error that says that nothing answers under a URL."""
    return ServiceUnreachableError(
        f"The service does not respond: {error or type(error).__name__}.",
        received=url,
        hint="Start a service with `ridurre serve`, set --url or RIDURRE_URL, or use --local to prune in this process.",
    )
