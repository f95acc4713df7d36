"""Results of a job: its artifacts, downloaded and checked."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pruning.report import as_version_2
from ridurre.answers import json_of, parse
from ridurre.conversations.jobs import job_path
from ridurre.download import Download
from ridurre.errors import RidurreError, ServiceUnreachableError
from ridurre.objects import Artifact
from ridurre.steps import Call, Flow, Next, Open, Pause, Work
from ridurre.target import check_file_target

CANDIDATE = "candidate-"
"""What the names of artifacts of candidates start with."""


def artifacts(job_id: str) -> Flow[list[Artifact]]:
    """Return what a job produced."""
    body = json_of((yield Call("GET", f"{job_path(job_id)}/artifacts")))
    return [parse(Artifact, item) for item in body["items"]]


def download(job_id: str, name: str, path: str | Path) -> Flow[Path]:
    """Fetch an artifact into a file or folder and return the file.

    Raises:
        DigestMismatchError: The bytes are not those announced; the target is as it was.
    """
    target = Path(path)
    if target.is_dir():
        target = target / name
    check_file_target(target)
    yield from _fetch(Download(f"{job_path(job_id)}/artifacts/{quote(name, safe='')}", target))
    return target


def download_candidate(job_id: str, candidate: str, path: str | Path) -> Flow[Path]:
    """Fetch the model of a candidate into a file or folder and return the file.

    Args:
        job_id: Which job.
        candidate: Its name in `report["candidates"]`, as `Job.candidates` lists them.
        path: Where to.

    Raises:
        RidurreError: The job has no file of such a candidate.
    """
    found = yield from artifacts(job_id)
    for each in found:
        if each.candidate == candidate and each.name.endswith(".keras"):
            return (yield from download(job_id, each.name, path))
    known = dict.fromkeys(each.candidate for each in found if each.candidate is not None)
    raise RidurreError(
        f"Job {job_id} has no such candidate.",
        field="candidate",
        received=candidate,
        expected=f"one of {', '.join(known)}" if known else "a candidate of a job that has succeeded",
    )


def download_candidates(job_id: str, folder: str | Path) -> Flow[list[Path]]:
    """Fetch all candidates into a folder, made if it is not there: `NAME.keras` and `NAME.plan.json`."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for each in (yield from artifacts(job_id)):
        if each.candidate is not None:
            paths.append((yield from download(job_id, each.name, target / each.name.removeprefix(CANDIDATE))))
    return paths


def report(job_id: str) -> Flow[dict[str, Any]]:
    """Return the contents of a job's `report.json`; what an older worker wrote is put in today's words."""
    # Downloaded, so that its digest is checked like that of any other artifact.
    with tempfile.TemporaryDirectory(prefix="ridurre-") as folder:
        path = yield from download(job_id, "report.json", folder)
        return as_version_2(json.loads(path.read_text(encoding="utf-8")))


def _fetch(download: Download) -> Flow[None]:
    """Take a download to its end, through broken connections."""
    download.open()
    try:
        while not (yield from _receive(download)):
            pass
        yield Work(download.finish)
    finally:
        download.discard()


def _receive(download: Download) -> Flow[bool]:
    """Receive what is missing, and tell whether it came whole."""
    try:
        stream = yield Open(Call("GET", download.path, headers=download.headers()))
        download.begin(stream.response)
        while (chunk := (yield Next(stream))) is not None:
            yield Work(download.write, (chunk,))
    except ServiceUnreachableError as error:
        if not download.complete:
            yield Pause(download.lost(error))
            return False
    return True
