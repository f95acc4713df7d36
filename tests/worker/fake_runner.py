"""Stands in for `worker.runner`: follows the child protocol, and misbehaves on request.

The behaviour is the name of the job in `job.json`. Standard library only.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DIRECTORY = Path(sys.argv[1])
JOB = json.loads((DIRECTORY / "job.json").read_text())
OUTPUTS = ("pruned.keras", "plan.json", "report.json", "history.json")


def tell(**event: Any) -> None:
    with (DIRECTORY / "events.jsonl").open("a") as events:
        events.write(json.dumps(event) + "\n")


def finish(result: Any) -> None:
    (DIRECTORY / "result.aside").write_text(result if isinstance(result, str) else json.dumps(result))
    (DIRECTORY / "result.aside").rename(DIRECTORY / "result.json")


def write_outputs(*names: str) -> None:
    for name in names:
        (DIRECTORY / "output" / name).write_text(f"{name} of {JOB['job_id']}")


def succeed() -> None:
    assert (DIRECTORY / JOB["model_file"]).exists()
    dataset = JOB["dataset"]
    assert dataset is None or dataset["kind"] == "builtin" or (DIRECTORY / dataset["file"]).exists()
    tell(phase="training", epoch=1, num_epochs=2, fraction=0.25, metrics={"loss": 0.5})
    tell(phase="training", epoch=2, num_epochs=2, fraction=0.5, metrics={"accuracy": 0.75})
    write_outputs(*OUTPUTS)
    finish({"status": "succeeded", "metrics": {"params": 10, "loss": float("nan")}})


def succeed_by_half() -> None:
    write_outputs("plan.json")
    finish({"status": "succeeded"})


def succeed_with_candidates(**changes: Any) -> None:
    write_outputs(*OUTPUTS)
    (DIRECTORY / "output" / "candidates").mkdir()
    write_outputs(*(f"candidates/{name}{end}" for name in ("iteration-1", "b-0") for end in (".keras", ".plan.json")))
    candidates = [{"name": "iteration-1"}, {"name": "iteration-2"}, {"name": "b-0", "is_baseline": True}]
    told = {"goal_met": False, "stopped_because": "it is missed", "delivered": "iteration-2", "candidates": candidates}
    finish({"status": "succeeded", "metrics": {"params": 10}, **told, **changes})


def link_candidates_elsewhere() -> None:
    write_outputs(*OUTPUTS)
    (DIRECTORY / "work" / "x.keras").write_text("of another job")
    (DIRECTORY / "work" / "x.plan.json").write_text("of another job")
    (DIRECTORY / "output" / "candidates").symlink_to(DIRECTORY / "work")
    finish({"status": "succeeded", "candidates": [{"name": "x"}]})


def fail() -> None:
    sys.stderr.write("a trace for the operator")
    error = {"code": "training-failed", "detail": "the loss is not a number", "hint": "Lower the learning rate."}
    finish({"status": "failed", "error": error})
    sys.exit(1)


def sleep() -> None:
    tell(phase="training", fraction=0.1)
    time.sleep(60)


def sleep_at_first() -> None:
    if DIRECTORY.name.endswith("-1"):
        sleep()
    succeed()


def sleep_through_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep()


def sleep_with_a_child() -> None:
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    tell(phase="training", message=f"grandchild {grandchild.pid}")
    time.sleep(60)


def chatter() -> None:
    tell(phase="dancing")
    with (DIRECTORY / "events.jsonl").open("a") as events:
        events.write("{\n" + "x" * 100_000 + "\n[]\nnull\n")
    tell(phase="pruning", iteration=1, fraction=0.5, metrics={"loss": float("inf"), "params": 3})
    write_outputs(*OUTPUTS)
    finish({"status": "succeeded"})


def link_elsewhere() -> None:
    write_outputs(*OUTPUTS[1:])
    (DIRECTORY / "output" / "pruned.keras").symlink_to("/etc/hostname")
    finish({"status": "succeeded"})


def show_environment() -> None:
    write_outputs(*OUTPUTS)
    (DIRECTORY / "output" / "report.json").write_text(json.dumps({"environ": dict(os.environ), "cwd": os.getcwd()}))
    finish({"status": "succeeded"})


BEHAVIOURS = {
    "succeed": succeed,
    "fail": fail,
    "crash": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "no result": lambda: None,
    "exit 3": lambda: sys.exit(3),
    "huge result": lambda: finish({"status": "failed", "error": {"code": "x", "detail": "x" * 100_000}}),
    "broken result": lambda: finish("{"),
    "wrong result": lambda: finish({"status": "excellent"}),
    "missing output": succeed_by_half,
    "pipe for a result": lambda: os.mkfifo(DIRECTORY / "result.json"),
    "candidates": succeed_with_candidates,
    "candidate missing": lambda: succeed_with_candidates(delivered=None),
    "candidate elsewhere": lambda: succeed_with_candidates(candidates=[{"name": "../../input/model"}]),
    "link candidates elsewhere": link_candidates_elsewhere,
    "sleep": sleep,
    "sleep at first": sleep_at_first,
    "sleep through SIGTERM": sleep_through_sigterm,
    "sleep with a child": sleep_with_a_child,
    "chatter": chatter,
    "link elsewhere": link_elsewhere,
    "show environment": show_environment,
}

BEHAVIOURS[JOB["spec"]["name"]]()
