"""Calls that bear a service which does not answer for a while."""

from __future__ import annotations

from typing import Any

from ridurre.errors import ServiceUnavailableError, ServiceUnreachableError
from ridurre.patience import Patience
from ridurre.steps import Call, Flow, Pause

MAX_FAILURES_IN_A_ROW = 6


def patiently(call: Call, patience: Patience) -> Flow[Any]:
    """Make a call for somebody who waits, through outages of minutes."""
    while True:
        try:
            answer = yield call
        except (ServiceUnreachableError, ServiceUnavailableError) as error:
            yield Pause(patience.pause_after(error))
        else:
            patience.restored()
            return answer


def persistently(call: Call) -> Flow[Any]:
    """Make a call that may be repeated without harm, again and again through short outages."""
    failures = 0
    while True:
        try:
            return (yield call)
        except (ServiceUnreachableError, ServiceUnavailableError):
            failures += 1
            if failures >= MAX_FAILURES_IN_A_ROW:
                raise
        yield Pause(min(0.1 * 2.0**failures, 5.0))
