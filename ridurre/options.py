"""Options of a prune as they are given by keyword: made plain, and checked against the specs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from pruning.errors import SpecError
from pruning.spec import checked
from ridurre.errors import InvalidOptionError

Spec = TypeVar("Spec", bound=BaseModel)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that are `None`: the spec's own default holds for them."""
    return {name: value for name, value in options.items() if value is not None}


def plain(value: Any, field: str) -> Any:
    """Return options as JSON knows them; numbers and arrays of NumPy become plain numbers and lists.

    Raises:
        InvalidOptionError: A number is not finite, or something has no form in JSON.
    """
    if value is None or isinstance(value, str | bool):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {str(name): plain(each, f"{field}.{name}") for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, f"{field}.{number}") for number, each in enumerate(value)]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidOptionError(
                "The number is not finite.", field=field, received=str(value), expected="a finite number"
            )
        return float(value)
    if not isinstance(value, type) and hasattr(value, "tolist"):  # of NumPy, which is not to be imported here
        return plain(value.tolist(), field)
    if callable(value) or hasattr(value, "select"):
        raise InvalidOptionError(
            "Functions and objects cannot be sent to a service.",
            field=field,
            received=str(getattr(value, "__name__", type(value).__name__)),
            expected="the name of a criterion" if field == "pruning.criterion" else "a JSON value",
            hint="Custom criteria work only in the library: ridurre.prune(model, data, criterion=function).",
        )
    raise InvalidOptionError(
        "The value cannot be converted to JSON.",
        field=field,
        received=type(value).__name__,
        expected="a number, string, list or dict",
    )


def validated(kind: type[Spec], options: Mapping[str, Any], field: str) -> Spec:
    """Return the spec with these options.

    Raises:
        InvalidOptionError: The spec does not allow them; the error names the first, and tells of all.
    """
    try:
        return checked(kind, dict(options), field)
    except SpecError as wrong:
        raise InvalidOptionError.like(wrong) from wrong
