"""How long one who waits for a job bears a service that does not answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic

from ridurre.errors import RidurreError, ServiceUnavailableError, ServiceUnreachableError

# Long enough for a restart of the service or of the machine it runs on.
OUTAGE_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 10.0
# A failure or two are a hiccup that nobody needs to hear of.
FAILURES_UNTIL_TOLD = 3

OnOutage = Callable[[RidurreError], None]
Outage = ServiceUnreachableError | ServiceUnavailableError


class Patience:
    """Failures in a row, while one waits for a job.

    Args:
        job_id: The job that is waited for.
        outage_seconds: How long to bear failures.
        on_outage: Called once in each outage that lasts, with an error that says what is going on; by default
            it is logged as a warning.
    """

    def __init__(self, job_id: str, outage_seconds: float, on_outage: OnOutage | None) -> None:
        self._job_id = job_id
        self._outage_seconds = outage_seconds
        self._on_outage = on_outage or _log
        self._failures = 0
        self._since = 0.0

    def restored(self) -> None:
        """Take note that the service answers."""
        self._failures = 0

    def pause_after(self, error: Outage) -> float:
        """Return after how many seconds to try again.

        Raises:
            ServiceUnreachableError, ServiceUnavailableError: The given error, once the outage has lasted too long;
                it names the job and says how to go on.
        """
        now = monotonic()
        if self._failures == 0:
            self._since = now
        self._failures += 1
        left = self._since + self._outage_seconds - now
        if left <= 0:
            hint = f"Job {self._job_id} continues. When the service is back: ridurre status {self._job_id}"
            error.hint = hint if error.hint is None else f"{error.hint} {hint}"
            raise error
        if self._failures == FAILURES_UNTIL_TOLD:
            self._on_outage(
                RidurreError(
                    f"The service is unavailable. Waiting up to {left:.0f} seconds for it to come back.",
                    received=error.detail,
                    hint=f"To check the job later: ridurre status {self._job_id}",
                )
            )
        return min(0.1 * 2.0**self._failures, LONGEST_PAUSE_SECONDS, left)


def _log(outage: RidurreError) -> None:
    logging.getLogger("ridurre").warning("%s", outage)
