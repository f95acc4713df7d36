"""Child: the process of one job, in its own session, with next to nothing of our environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import worker.launch

# What the child may know of our environment; all else, credentials above all, stays here.
INHERITED = (
    "PATH",
    "LANG",
    "LD_LIBRARY_PATH",
    "KERAS_BACKEND",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "TF_FORCE_GPU_ALLOW_GROWTH",
)
ROOT = Path(worker.launch.__file__).resolve().parents[1]

# `python -I` does not look into the directory it runs in, and a checkout is not installed: say where we are.
_RUN_RUNNER = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('worker.runner', run_name='__main__', alter_sys=True)"
)
DEFAULT_COMMAND = (sys.executable, "-I", "-c", _RUN_RUNNER, str(ROOT))


def scrubbed_environment(work: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the child's environment; `work` is its scratch directory."""
    scrubbed = {name: environment[name] for name in INHERITED if name in environment}
    scrubbed.setdefault("PATH", os.defpath)
    scrubbed.setdefault("LANG", "C.UTF-8")
    scrubbed.setdefault("KERAS_BACKEND", "tensorflow")
    return scrubbed | {
        "HOME": str(work),
        "TMPDIR": str(work),
        "KERAS_HOME": str(work),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "HDF5_PLUGIN_PRELOAD": "::",  # HDF5 loads no filters from files
    }


class Child:
    """A running child and its process group."""

    def __init__(self, command: Sequence[str], directory: Path, work: Path, log: Path) -> None:
        """Start `command` with the job directory as its last argument.

        Call it from a thread that outlives the child: the kernel ties the child to that thread.
        """
        launch = [sys.executable, "-I", "-S", worker.launch.__file__, str(os.getpid()), *command, str(directory)]
        with log.open("xb") as output:
            self._process = subprocess.Popen(
                launch,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=work,
                env=scrubbed_environment(work),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, and id of the process group."""
        return self._process.pid

    def wait(self, timeout_seconds: float) -> int | None:
        """Return the exit status, negative for a signal, or `None` if the child still runs after the time."""
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self, grace_seconds: float) -> None:
        """Ask the group to stop, and kill it after a grace period."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        self.wait(max(0.0, deadline - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """Kill whatever is left of the group, and reap the child."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # nobody is left; a group of zombies answers EPERM on some systems
