from pathlib import Path

import pytest

from jobs.artifacts.local import LocalArtifacts
from tests.contracts.artifact_store import DATA, DIGEST, ArtifactStoreContract

pytestmark = pytest.mark.fast


class TestLocalArtifacts(ArtifactStoreContract):
    @pytest.fixture
    def artifacts(self, tmp_path: Path) -> LocalArtifacts:
        return LocalArtifacts(tmp_path / "artifacts")

    def test_a_blob_is_a_read_only_file_named_by_its_digest(self, artifacts: LocalArtifacts, tmp_path: Path) -> None:
        with artifacts.writer("models") as writer:
            writer.write(DATA)
            writer.commit()
        path = tmp_path / "artifacts" / "models" / DIGEST
        assert path.read_bytes() == DATA
        assert path.stat().st_mode & 0o777 == 0o400
