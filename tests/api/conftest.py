"""The API on stores in memory and on disk; nothing is published."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from jobs.artifacts.local import LocalArtifacts
from jobs.settings import Settings
from jobs.stores.base import JobStore
from jobs.stores.memory import MemoryStore
from tests.uploads import digits_npz, keras_file

MAX_UPLOAD_BYTES = 100_000


@dataclass
class Service:
    """A running application and what is behind it."""

    client: TestClient
    store: JobStore
    artifacts: LocalArtifacts
    data_directory: Path
    published: list[str] = field(default_factory=list)

    def upload_model(self) -> str:
        """Upload a small model and return its id."""
        return str(self.client.post("/v1/models?filename=small.keras", content=keras_file()).json()["id"])

    def upload_dataset(self) -> str:
        """Upload a small dataset and return its id."""
        return str(self.client.post("/v1/datasets?filename=small.npz", content=digits_npz()).json()["id"])

    def spec(self, **changes: Any) -> dict[str, Any]:
        """Return a spec that is accepted."""
        return {"model": self.upload_model(), "dataset": "digits", "pruning": {"ratio": 0.5}, **changes}

    def submit(self, **changes: Any) -> str:
        """Submit a job and return its id."""
        response = self.client.post("/v1/jobs", json=self.spec(**changes))
        assert response.status_code == 202, response.text
        return str(response.json()["id"])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    settings = Settings(data_directory=tmp_path, max_upload_bytes=MAX_UPLOAD_BYTES, max_spec_bytes=20_000)
    store, artifacts, published = MemoryStore(), LocalArtifacts(tmp_path / "artifacts"), list[str]()
    app = create_app(settings, store=store, artifact_store=artifacts, publish=published.append)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(client, store, artifacts, tmp_path, published)


def assert_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check the form of a problem document and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/problems/{code}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem
