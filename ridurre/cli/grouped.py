"""Options that come in a group: a dataclass declares them once, and several commands take it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a dataclass of options: Typer sees its fields, the command gets one value.

    Args:
        command: Its parameters are options and arguments, or dataclasses whose fields are.

    Returns:
        The same command, with each such dataclass replaced by its fields.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            shown.append(_shown(name, hints[name], parameter.default))
            continue
        declared = get_type_hints(groups[name], include_extras=True)
        shown += [_shown(field.name, declared[field.name], field.default) for field in fields(groups[name])]

    def run(**given: Any) -> None:
        own = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        command(**given, **own)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return run


def _shown(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
