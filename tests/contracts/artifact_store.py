"""What every ArtifactStore must do. A backend earns it by subclassing and giving the `artifacts` fixture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from jobs.artifacts.base import ArtifactStore
from jobs.errors import NotFoundError

DATA = b"weights" * 100_000
DIGEST = hashlib.sha256(DATA).hexdigest()


class ArtifactStoreContract:
    """Inherit, and define a fixture `artifacts` that is empty."""

    def test_bytes_come_back(self, artifacts: ArtifactStore) -> None:
        blob = artifacts.add("models", io.BytesIO(DATA))
        assert (blob.sha256, blob.size_bytes) == (DIGEST, len(DATA))
        assert blob.identifier("mdl_") == f"mdl_{DIGEST[:24]}"
        assert artifacts.path("models", DIGEST).read_bytes() == DATA

    def test_the_same_bytes_twice_are_one_blob(self, artifacts: ArtifactStore) -> None:
        assert artifacts.add("models", io.BytesIO(DATA)) == artifacts.add("models", io.BytesIO(DATA))

    def test_nothing_shows_before_the_commit(self, artifacts: ArtifactStore) -> None:
        with artifacts.writer("models") as writer:
            writer.write(DATA)
            writer.flush()
            assert writer.path.read_bytes() == DATA
            with pytest.raises(NotFoundError):
                artifacts.path("models", DIGEST)
        with pytest.raises(NotFoundError):
            artifacts.path("models", DIGEST)
        assert not writer.path.exists()

    def test_a_failure_while_writing_leaves_nothing(self, artifacts: ArtifactStore) -> None:
        def write_half() -> None:
            with artifacts.writer("models") as writer:
                writer.write(DATA)
                raise OSError("the client is gone")

        with pytest.raises(OSError, match="the client is gone"):
            write_half()
        with artifacts.writer("models") as writer:
            assert list(writer.path.parent.iterdir()) == [writer.path]

    def test_a_blob_is_fetched_to_a_file(self, artifacts: ArtifactStore, tmp_path: Path) -> None:
        artifacts.add("models", io.BytesIO(DATA))
        artifacts.fetch("models", DIGEST, tmp_path / "model.keras")
        artifacts.delete("models", DIGEST)
        assert (tmp_path / "model.keras").read_bytes() == DATA

    def test_collections_are_apart(self, artifacts: ArtifactStore) -> None:
        artifacts.add("jobs/job_1", io.BytesIO(DATA))
        artifacts.add("jobs/job_2", io.BytesIO(DATA))
        artifacts.delete_collection("jobs/job_1")
        with pytest.raises(NotFoundError):
            artifacts.path("jobs/job_1", DIGEST)
        assert artifacts.path("jobs/job_2", DIGEST).exists()

    def test_deleting_what_is_not_there_is_fine(self, artifacts: ArtifactStore) -> None:
        artifacts.delete("models", DIGEST)
        artifacts.delete_collection("jobs/job_1")

    @pytest.mark.parametrize("collection", ["", "..", "models/../..", "/etc", "jobs/a/b"])
    def test_a_collection_cannot_lead_elsewhere(self, artifacts: ArtifactStore, collection: str) -> None:
        with pytest.raises(ValueError, match="collection"):
            artifacts.path(collection, DIGEST)

    def test_only_old_leftovers_are_removed(self, artifacts: ArtifactStore) -> None:
        with artifacts.writer("models") as writer:
            writer.write(DATA)
            artifacts.remove_abandoned(older_than_seconds=3600)
            assert writer.path.exists()
            artifacts.remove_abandoned(older_than_seconds=-3600)
            assert not writer.path.exists()

    def test_exclusive_sections_can_follow_each_other(self, artifacts: ArtifactStore) -> None:
        for _ in range(2):
            with artifacts.exclusive():
                artifacts.add("models", io.BytesIO(DATA))
