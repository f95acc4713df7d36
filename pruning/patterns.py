"""Regular expressions for layer paths, in the syntax of RE2.

RE2 matches in time that grows with the length of the path alone, whatever the pattern, so that a pattern from outside
can be tried in any process. It knows no backreferences and no lookaround.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import re2

MAX_PATTERN_CHARACTERS = 256


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def why_wrong(pattern: str) -> str | None:
    """Return what is wrong with a pattern, or `None`."""
    try:
        _compiled(pattern)
    except re2.error as error:
        said = error.args[0]
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    except UnicodeEncodeError:
        return "it is not Unicode text"
    return None


def any_of(paths: Iterable[str]) -> list[str]:
    """Return patterns that match these paths and no others: a single one if it is short enough."""
    each = [re2.escape(path) for path in paths]
    whole = "|".join(each)
    return [whole] if len(whole) <= MAX_PATTERN_CHARACTERS else each


def matches(pattern: str, path: str) -> bool:
    """Tell whether a pattern matches the whole of a path."""
    return _compiled(pattern).fullmatch(path.encode(errors="replace").decode()) is not None


def matches_any(patterns: Iterable[str], paths: Iterable[str]) -> bool:
    """Tell whether one of the patterns matches the whole of one of the paths."""
    paths = list(paths)
    return any(matches(pattern, path) for pattern in patterns for path in paths)
