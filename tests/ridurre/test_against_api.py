"""Both clients against the real API, on stores in memory and on disk; the worker's part is played here."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from jobs.artifacts.local import LocalArtifacts
from jobs.record import ArtifactRecord, Progress
from jobs.settings import Settings
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from jobs.stores.memory import MemoryStore
from ridurre import AsyncClient, Client
from ridurre.errors import ConflictError, InvalidSpecError, NotFoundError, UnsupportedFileError
from tests.uploads import digits_npz, keras_file

pytestmark = pytest.mark.fast

DELIVERED = {"pruned.keras": b"a smaller model" * 10_000, "report.json": json.dumps({"steps": []}).encode()}


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Call a method of a client by name; a job that is published is run at once."""
    store, artifacts = MemoryStore(), LocalArtifacts(tmp_path / "store")

    def work(job_id: str) -> None:
        claim = store.claim(job_id, 30)
        assert claim is not None
        store.update_progress(job_id, claim.fence, Progress(phase="pruning", iteration=1, fraction=0.5), {"loss": 0.1})
        records = []
        for name, content in DELIVERED.items():
            artifacts.add(f"jobs/{job_id}", io.BytesIO(content))
            digest = hashlib.sha256(content).hexdigest()
            records.append(ArtifactRecord(name=name, media_type="x/y", size_bytes=len(content), sha256=digest))
        store.finish(job_id, claim.fence, Outcome(JobStatus.SUCCEEDED, artifacts=records))

    app = create_app(Settings(data_directory=tmp_path), store=store, artifact_store=artifacts, publish=work)

    def call_blocking(name: str, *args: Any, **kwargs: Any) -> Any:
        with Client("http://service.test", transport=running._transport) as client:
            result = getattr(client, name)(*args, **kwargs)
            return list(result) if name == "events" else result

    async def call_asynchronous(name: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncClient("http://service.test", transport=httpx.ASGITransport(app)) as client:
            if name == "events":
                return [event async for event in client.events(*args, **kwargs)]
            return await getattr(client, name)(*args, **kwargs)

    with TestClient(app) as running:
        if request.param == "blocking":
            yield call_blocking
        else:
            yield lambda name, *args, **kwargs: asyncio.run(call_asynchronous(name, *args, **kwargs))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.keras"
    path.write_bytes(keras_file())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "small.npz"
    path.write_bytes(digits_npz())
    return path


def test_from_upload_to_download(call: Callable[..., Any], model: Path, data: Path, tmp_path: Path) -> None:
    uploaded = call("upload_model", model)
    assert uploaded.id.startswith("mdl_")
    assert uploaded.layers == ("stem", "block/conv1", "block/conv2", "head")
    assert call("upload_model", model) == uploaded
    dataset = call("upload_dataset", data)
    job = call(
        "submit",
        uploaded,
        dataset,
        criterion="kmeans",
        target_params=0.36,
        training={"epochs": 1, "fine_tuning_epochs": 1},
    )
    assert call("wait", job.id).status == "succeeded"
    assert [found.id for found in call("jobs", "succeeded")] == [job.id]
    events = call("events", job.id)
    assert [event.kind for event in events] == ["status", "status", "progress", "status"]
    assert call("events", job.id, after=events[1].id) == events[2:]
    assert call("events", job.id, after=events[-1].id) == []
    assert {artifact.name for artifact in call("artifacts", job.id)} == set(DELIVERED)
    path = call("download", job.id, "pruned.keras", tmp_path / "out.keras")
    assert path.read_bytes() == DELIVERED["pruned.keras"]
    assert call("report", job.id) == {"steps": []}
    with pytest.raises(ConflictError):
        call("cancel", job.id)
    call("delete", job.id)
    with pytest.raises(NotFoundError):
        call("job", job.id)


def test_prune(call: Callable[..., Any], model: Path, data: Path) -> None:
    seen: list[str] = []
    pruned = call("prune", model, data, ratio=0.5, on_event=lambda event: seen.append(event.kind))
    assert pruned.path.read_bytes() == DELIVERED["pruned.keras"]
    assert seen == ["status", "status", "progress", "status"]


def test_what_it_refuses(call: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    uploaded = call("upload_model", model)
    with pytest.raises(InvalidSpecError) as caught:
        call("submit", uploaded, "digits", ratio=1.5)
    assert caught.value.field == "pruning.ratio"
    assert caught.value.received == "1.5"
    with pytest.raises(InvalidSpecError, match="kmeans"):
        call("submit", uploaded, "digits", criterion="nonsense", ratio=0.5)
    with pytest.raises(NotFoundError):
        call("job", "job_0")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnsupportedFileError):
        call("upload_model", tmp_path / "notes.txt")
