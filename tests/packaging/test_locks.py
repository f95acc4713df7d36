"""The locks: complete, hashed, of one mind, and free of where they came from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements/api.lock", "requirements/worker-cpu.lock", "requirements/worker-gpu.lock"]
PIN = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE)


@pytest.mark.parametrize("path", LOCKS)
def test_every_pin_has_a_hash_and_no_index_is_named(path: str) -> None:
    text = (ROOT / path).read_text()
    pins = re.findall(r"^[a-z0-9._-]+==.*\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(PIN.findall(text)) > 0
    assert not re.search(r"https?://|index-url|find-links|trusted-host", text)


@pytest.mark.parametrize("path", LOCKS[1:])
def test_images_get_what_was_tested(path: str) -> None:
    tested, image = set(PIN.findall((ROOT / LOCKS[0]).read_text())), set(PIN.findall((ROOT / path).read_text()))
    names = {name for name, _ in tested}
    assert {pin for pin in image if pin[0] in names} <= tested


def test_everything_that_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    locked = ("cpu", "embedded", "dev", "export", "openvino")
    wanted = [*project["dependencies"], *(name for extra in locked for name in extras[extra]), "setuptools"]
    names = {re.split(r"[\[<>=;\s]", requirement)[0] for requirement in wanted}
    assert names <= {name for name, _ in PIN.findall((ROOT / LOCKS[0]).read_text())}


def test_no_platform_gets_two_tensorflows() -> None:
    markers = dict(re.findall(r"^(tensorflow(?:-cpu)?)==\S+ ; (.*?) \\$", (ROOT / LOCKS[0]).read_text(), re.MULTILINE))
    for platform in ({"sys_platform": "linux", "platform_machine": "x86_64"}, {"sys_platform": "darwin"}):
        chosen = [name for name, marker in markers.items() if Marker(marker).evaluate(platform)]
        assert len(chosen) == 1, platform
