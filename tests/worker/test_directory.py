from pathlib import Path

import pytest

from worker.directory import job_directory, remove_abandoned

pytestmark = pytest.mark.fast


def test_a_directory_is_private_and_temporary(tmp_path: Path) -> None:
    with job_directory(tmp_path, "job_1", 1) as directory:
        assert directory.path.stat().st_mode & 0o777 == 0o700
        (directory.path / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_only_abandoned_directories_are_removed(tmp_path: Path) -> None:
    (tmp_path / "job_1-1" / "work").mkdir(parents=True)
    (tmp_path / ".job_1-1.lock").touch()
    with job_directory(tmp_path, "job_2", 1) as directory:
        remove_abandoned(tmp_path)
        assert directory.path.exists()
        assert not (tmp_path / "job_1-1").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_that_is_not_there_has_nothing_abandoned(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "nothing")
