"""Which regular expressions match no layer: found out in a process that can be stopped.

A pattern such as `(a+)+b` can take years on a short name, and Python's `re` holds the interpreter all the
while, so patterns from outside are matched elsewhere, under a time limit.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence

from pruning.errors import SpecError

TIMEOUT_SECONDS = 5.0
PLAIN = re.compile(r"[\w/-]*")

_MATCHER = """
import json, re, sys
patterns, layers = json.load(sys.stdin)
json.dump([p for p in patterns if not any(map(re.compile(p).fullmatch, layers))], sys.stdout)
"""


def unmatched_patterns(patterns: Iterable[str], layers: Sequence[str]) -> list[str]:
    """Return the patterns that match no whole layer path.

    Raises:
        SpecError: Matching takes longer than `TIMEOUT_SECONDS`.
    """
    plain: list[str] = []
    others: list[str] = []
    for pattern in patterns:
        (plain if PLAIN.fullmatch(pattern) else others).append(pattern)
    unmatched = [pattern for pattern in plain if pattern not in layers]
    return unmatched + _match_apart(others, layers) if others else unmatched


def _match_apart(patterns: list[str], layers: Sequence[str]) -> list[str]:
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MATCHER],
            input=json.dumps([patterns, layers]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=True,
            env={},
        )
    except subprocess.TimeoutExpired:
        raise SpecError(
            "these patterns take too long to match",
            field="pruning",
            received=", ".join(map(repr, patterns))[:200],
            expected=f"patterns that match within {TIMEOUT_SECONDS:g} seconds",
            hint="Avoid repetitions inside repetitions, such as (a+)+.",
        ) from None
    unmatched: list[str] = json.loads(answer.stdout)
    return unmatched
