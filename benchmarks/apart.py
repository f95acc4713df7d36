"""Measurements in a process of their own: none pays for, or profits from, what another left in memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


def measured_apart(*command: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run Python with these arguments and return the JSON object in the last line that it prints.

    Raises:
        RuntimeError: It failed; the message is the end of what it wrote to stderr.
    """
    python = command if Path(command[0]).name.startswith("python") else (sys.executable, *command)
    result = subprocess.run(
        python,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(environment or {})},
    )
    if result.returncode:
        raise RuntimeError(" / ".join(result.stderr.strip().splitlines()[-3:]) or f"exit code {result.returncode}")
    measured: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return measured


def tell(measured: dict[str, Any]) -> None:
    """Print a measurement for `measured_apart`."""
    sys.stdout.write(json.dumps(measured) + "\n")


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the seconds that it took, garbage of before not counted."""
    gc.collect()
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


def machine() -> str:
    """Say where a run took place: cores and load, so that figures are compared within one run only."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
