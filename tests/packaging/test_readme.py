"""The README's examples, run one after another as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_HERE = ("scripts/demo ", "scripts/serve ", "docker compose")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A running service."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RIDURRE_REDIS_URL", "REDIS_URL")}
    command = [sys.executable, "-m", "ridurre", "serve", "--port", "0", "--data-directory", str(tmp_path / "var")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        found = re.search(r"ready at (\S+)", process.stdout.readline())
        try:
            assert found
            yield found[1]
        finally:
            process.send_signal(signal.SIGTERM)


def examples() -> list[tuple[str, str]]:
    """Return language and text of the examples that need only a service."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found if not any(word in text for word in NOT_HERE)]


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("curl") is None, reason="one of the examples needs curl")
def test_the_examples_run_one_after_another(url: str, tmp_path: Path) -> None:
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = os.environ | {"RIDURRE_URL": url, "CUDA_VISIBLE_DEVICES": ""}
    for language, text in examples():
        command = [sys.executable, "-c", text] if language == "python" else ["bash", "-euo", "pipefail", "-c", text]
        environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, text + done.stdout + done.stderr
    assert {"model.keras", "data.npz", "model.pruned.keras", "pruned.keras", "small.keras"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.fast
def test_the_layout_of_zips_is_named() -> None:
    for text in (README, (ROOT / "docs" / "data.md").read_text(encoding="utf-8")):
        assert "train/<class>/" in text
        assert "validation/<class>/" in text
