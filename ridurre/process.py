"""A child process in a session of its own that is ended in an orderly way and never outlives its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ridurre.errors import EmbeddedServiceError

_PR_SET_PDEATHSIG = 1


class Process:
    """One child.

    It has its own session, so that a Ctrl-C in the terminal reaches only the parent, which then ends its
    children in the right order.

    Args:
        name: What people call it.
        command: Program and arguments.
        log: File that receives stdout and stderr; appended to.
        environment: Replaces the environment; `None` inherits it.
        directory: The working directory; `None` inherits it.

    Raises:
        EmbeddedServiceError: The program cannot be started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            try:
                self._popen = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=None if environment is None else dict(environment),
                    cwd=directory,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),
                )
            except OSError as error:
                raise EmbeddedServiceError(
                    f"{name} cannot be started: {error.strerror}.",
                    received=command[0],
                    hint="Run `scripts/install` to install everything.",
                ) from error

    @property
    def pid(self) -> int:
        """Process id, also that of the process group."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._popen.poll() is None

    def check(self) -> None:
        """Do nothing while the process runs.

        Raises:
            EmbeddedServiceError: It has ended; the error shows how, and the end of its log.
        """
        status = self._popen.poll()
        if status is None:
            return
        how = f"(exit status {status})" if status >= 0 else f"({signal.Signals(-status).name})"
        raise EmbeddedServiceError(
            f"{self.name} stopped unexpectedly {how}.", received=self.log_end() or None, hint=f"See the log: {self.log}"
        )

    def log_end(self, num_lines: int = 15) -> str:
        """Return the last lines of the log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-num_lines:])

    def stop(self, grace_seconds: float) -> None:
        """End the process: SIGTERM, a grace period, then SIGKILL; what is left of its group is killed too."""
        if self.running:
            self._popen.terminate()
            try:
                self._popen.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        self.kill()

    def kill(self) -> None:
        """End the whole process group at once."""
        self.send(signal.SIGKILL)
        self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group, if anything is left of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _die_with_parent() -> Callable[[], None] | None:
    """Return what makes Linux end the child when the parent dies without a chance to stop it (kill -9)."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: afterwards only the call itself is safe
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return arrange
