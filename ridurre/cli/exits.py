"""Exit codes, and the one map from errors to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from pruning.errors import CheckpointError, ModelError, PruningError, SpecError
from pruning.errors import DataError as PruningDataError
from ridurre.cli.literal import literal_lines
from ridurre.errors import (
    EmbeddedServiceError,
    JobCancelledError,
    JobFailedError,
    JobUnfinishedError,
    ProblemError,
    RidurreError,
    ServiceUnavailableError,
    ServiceUnreachableError,
)

errors_console = Console(stderr=True)
BAD_INPUTS = (SpecError, ModelError, PruningDataError, CheckpointError)
"""What the library raises over what it was given."""


class ExitCode(IntEnum):
    """What the command ends with."""

    OK = 0
    JOB_FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    GOAL_MISSED = 4
    INTERRUPTED = 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn an error into its text on stderr and its exit code."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except (RidurreError, PruningError, ValidationError, OSError) as error:
        errors_console.print(Text("Error: ", style="bold red").append(literal_lines(error, "default")), soft_wrap=True)
        raise typer.Exit(code_of(error)) from error


def code_of(error: Exception) -> ExitCode:
    """Return the exit code for an error."""
    if isinstance(error, ServiceUnreachableError | ServiceUnavailableError | EmbeddedServiceError):
        return ExitCode.UNREACHABLE
    if isinstance(error, ProblemError):
        return ExitCode.BAD_INPUT if error.status < 500 else ExitCode.UNREACHABLE
    if isinstance(error, JobFailedError | JobCancelledError | JobUnfinishedError):
        return ExitCode.JOB_FAILED
    if isinstance(error, PruningError) and not isinstance(error, BAD_INPUTS):
        return ExitCode.JOB_FAILED
    return ExitCode.BAD_INPUT
