"""Runs in processes of their own that are killed, and what they come to in the end.

python -m tests.pruning.run.kills ORDER    does what an order in JSON says, and dies where it says so
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pruning.pipeline import PruningResult
from pruning.run import checkpoints, files
from tests.pruning.run.runs import run, untimed

RunDigest = dict[str, Any]
"""What a run came to: a digest of each variable of each model, the history, plan and report, and the time it took."""


@dataclass(frozen=True)
class Death:
    """When a process kills itself.

    Attributes:
        number: At the writing of this checkpoint of the process, from 1.
        file: The file of the checkpoint that is half written then; empty: the checkpoint is written to its end.
    """

    number: int
    file: str = ""


@dataclass(frozen=True)
class Order:
    """A run to do.

    Attributes:
        spec: What to prune.
        training: How to train.
        directory: Of its checkpoints.
        digest: The file for what came of it.
        death: When to die.
    """

    spec: dict[str, Any]
    training: dict[str, Any]
    directory: str
    digest: str
    death: Death | None = None


@dataclass
class Runs:
    """Processes that do one run between them.

    Attributes:
        spec: What to prune.
        training: How to train.
        folder: For directories of runs.
        environment: Of the processes, beside that of this one.
        num_processes: How many there were.
        num_kills: How many of them were killed.
    """

    spec: dict[str, Any]
    training: dict[str, Any]
    folder: Path
    environment: Mapping[str, str]
    num_processes: int = 0
    num_kills: int = 0

    def whole(self, name: str) -> RunDigest:
        """Do the run without interruption."""
        digest = self._process(self._order(name))
        assert digest is not None
        return digest

    def killed(self, name: str, ends: Iterable[Death | float]) -> RunDigest:
        """Do the run, with each process but the last killed.

        Args:
            name: Of the run.
            ends: When each process dies of itself, or after how many seconds it is killed.
        """
        order = self._order(name)
        for end in ends:
            if isinstance(end, Death):
                digest = self._process(replace(order, death=end))
            else:
                digest = self._process(order, seconds=end)
            if digest is not None:
                return digest
            self.num_kills += 1
        return self.whole(name)

    def num_checkpoints(self, name: str) -> int:
        """Return how many checkpoints a run wrote, if it was never killed."""
        return max(int(each.name) for each in (self.folder / name / "checkpoints").iterdir())

    def _order(self, name: str) -> Order:
        return Order(self.spec, self.training, str(self.folder / name), str(self.folder / f"{name}.json"))

    def _process(self, order: Order, seconds: float | None = None) -> RunDigest | None:
        """Start a process; return what the run came to, or `None` if the process was killed."""
        self.num_processes += 1
        command = [sys.executable, "-m", "tests.pruning.run.kills", json.dumps(asdict(order))]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **self.environment}
        with (
            (self.folder / "stderr").open("w+") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as process,
        ):
            assert process.stdout is not None
            process.stdout.readline()  # All is imported.
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode == -signal.SIGKILL:
                return None
            if process.returncode:
                log.seek(0)
                raise RuntimeError(log.read()[-2000:])
        digest: RunDigest = json.loads(Path(order.digest).read_text())
        return digest


def differences(first: RunDigest, second: RunDigest) -> list[str]:
    """Return the names of what differs between two digests, but for times."""
    models, others = first["models"], second["models"]
    found = [
        f"{name}: {variable}"
        for name in dict.fromkeys([*models, *others])
        for variable in dict.fromkeys([*models.get(name, {}), *others.get(name, {})])
        if models.get(name, {}).get(variable) != others.get(name, {}).get(variable)
    ]
    return [*found, *(part for part in ("history", "plan", "report") if first[part] != second[part])]


def digest_of(result: PruningResult, seconds: float) -> RunDigest:
    """Return what a run came to."""
    models = {"delivered": result.model} | {
        each.name: result.candidate(each.name)[0] for each in result.report.candidates
    }
    return {
        "models": {
            name: {
                f"{place} {variable.name}": hashlib.sha256(np.asarray(variable).tobytes()).hexdigest()
                for place, variable in enumerate([*model.variables, *model.optimizer.variables])
            }
            for name, model in models.items()
        },
        "history": result.history,
        "plan": result.plan.model_dump(mode="json"),
        "report": untimed(result),
        "seconds": seconds,
    }


def _die(death: Death) -> None:
    """Let this process kill itself."""
    write, write_whole, count = checkpoints.Checkpoints.write, files.write_whole, [0]

    def written(self: checkpoints.Checkpoints, *arguments: Any) -> None:
        count[0] += 1
        write(self, *arguments)
        if count[0] == death.number:
            os.kill(os.getpid(), signal.SIGKILL)

    def torn(path: Path, content: bytes) -> None:
        if path.name != death.file or count[0] < death.number:
            write_whole(path, content)
            return
        path.with_name(path.name + ".tmp").write_bytes(content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    patch = pytest.MonkeyPatch()
    patch.setattr(checkpoints.Checkpoints, "write", written)
    for module in (files, checkpoints):
        patch.setattr(module, "write_whole", torn)


def _main() -> None:
    order = json.loads(sys.argv[1])
    if order["death"] is not None:
        _die(Death(**order["death"]))
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    start = time.perf_counter()
    result = run(Path(order["directory"]), order["spec"], order["training"])
    digest = digest_of(result, time.perf_counter() - start)
    Path(order["digest"]).write_text(json.dumps(digest))


if __name__ == "__main__":
    _main()
