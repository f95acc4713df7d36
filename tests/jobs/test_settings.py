import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.settings import Settings, settings_or_exit

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("url", "state_url", "broker_url"),
    [
        ("redis://host:1", "redis://host:1/0", "redis://host:1/1"),
        ("redis://:secret@host/3", "redis://:secret@host/3", "redis://:secret@host/4"),
        (
            "rediss://host/0?ssl_cert_reqs=none",
            "rediss://host/0?ssl_cert_reqs=none",
            "rediss://host/1?ssl_cert_reqs=none",
        ),
        ("unix:///run/r.sock", "unix:///run/r.sock?db=0", "redis+socket:///run/r.sock?virtual_host=1"),
        ("unix:///run/r.sock?db=2", "unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=3"),
        (
            "redis+socket:///run/r.sock?virtual_host=2",
            "unix:///run/r.sock?db=2",
            "redis+socket:///run/r.sock?virtual_host=3",
        ),
    ],
)
def test_state_and_queue_are_two_databases(url: str, state_url: str, broker_url: str) -> None:
    settings = Settings(redis_url=url)
    assert (settings.state_url, settings.broker_url) == (state_url, broker_url)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://plain")
    assert Settings().redis_url == "redis://plain"
    monkeypatch.setenv("RIDURRE_REDIS_URL", "redis://ours")
    monkeypatch.setenv("RIDURRE_RUNNER_COMMAND", '["run", "it"]')
    assert Settings().redis_url == "redis://ours"
    assert Settings().runner_command == ("run", "it")


def test_another_process_can_be_given_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Settings(redis_url="unix:///a.sock?db=3", data_directory=tmp_path, port=1, runner_command=("a", "b c"))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize(
    "fields",
    [
        {"redis_url": "http://host"},
        {"redis_url": "redis://host/first"},
        {"redis_url": "redis://host/1", "broker_db": 1},
        {"lease_seconds": 5, "heartbeat_seconds": 5},
        {"lease_seconds": 15, "grace_seconds": 20},
        {"max_upload_bytes": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(fields)


WRONG: list[tuple[str, str, str]] = [
    ("RIDURRE_PORT", "many", "RIDURRE_PORT: Input should be a valid integer"),
    (
        "RIDURRE_LEASE_SECONDS",
        "-1",
        'RIDURRE_LEASE_SECONDS: Input should be greater than 0. Received: "-1". Expected: a number above 0',
    ),
    ("RIDURRE_LEASE_SECONDS", "inf", "RIDURRE_LEASE_SECONDS: Input should be a finite number"),
    ("RIDURRE_HEARTBEAT_SECONDS", "100", "heartbeat_seconds must be less than lease_seconds"),
    ("RIDURRE_REDIS_URL", "http://:secret@host", "RIDURRE_REDIS_URL: A Redis URL must start with"),
    ("REDIS_URL", "redis://:secret@host/first", "The database in redis_url is 'first'"),
    ("RIDURRE_RUNNER_COMMAND", "run it", "runner_command"),
]


@pytest.mark.parametrize(("variable", "value", "line"), WRONG)
def test_a_wrong_variable_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as caught:
        settings_or_exit()
    said = str(caught.value)
    assert said.startswith("ridurre cannot start: ")
    assert line in said
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize("module", ["api.app", "worker.app"])
def test_a_process_with_a_wrong_setting_ends_without_a_traceback(module: str) -> None:
    environment = {**os.environ, "RIDURRE_PORT": "many"}
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("ridurre cannot start: RIDURRE_PORT")
