"""The scripts that people and CI call."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.suffix == "" and path.is_file())
ALL = [*SCRIPTS, ROOT / ".ci" / "run"]


@pytest.mark.parametrize("script", ALL, ids=lambda path: path.name)
def test_scripts_are_sound_bash_that_stops_at_errors(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_ci_runs_what_people_run() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "scripts/lint" in text
    assert "scripts/test" in text


def test_install_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/install", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "cat", "cut", "dirname", "env", "cksum"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": str(tools), "HOME": str(tmp_path)}
    done = subprocess.run(
        [str(tmp_path / "scripts" / "install")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "found no Python 3.11" in done.stderr
