"""The embedded Redis: found, private, durable, gone afterwards."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis

from ridurre.embedded import EmbeddedRedis, configured_url, find_redis_server
from ridurre.errors import EmbeddedServiceError
from tests.worker.conftest import wait_until

pytestmark = pytest.mark.e2e


def test_it_is_private_and_configured_to_keep_data(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        expected = {"port": "0", "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert expected.items() <= client.config_get().items()
        assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
        assert len(os.fsencode(server.socket)) <= 100


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        assert server.process is not None
        pid, folder = server.process.pid, server.socket.parent
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    with pytest.raises(EmbeddedServiceError, match="not running"):
        _ = server.socket


def test_data_survives_kill_9(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        client.set("key", "value")
        client.xadd("stream", {"field": "value"})
        # Redis writes within a second, not at once.
        wait_until(lambda: client.info("persistence")["aof_buffer_length"] == 0)
        assert server.process is not None
        server.process.kill()
        with pytest.raises(EmbeddedServiceError, match="SIGKILL"):
            server.process.check()
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"
        assert client.xlen("stream") == 1


def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from ridurre.embedded import EmbeddedRedis\n"
        "server = EmbeddedRedis(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([server], timeout=60)
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_a_folder_too_deep_for_a_socket_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with EmbeddedRedis(deep / "redis") as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_text("nonsense")
    (tmp_path / "appendonlydir").write_text("not a folder")
    with pytest.raises(EmbeddedServiceError, match="Redis stopped unexpectedly") as caught:
        EmbeddedRedis(tmp_path).start()
    assert "redis.log" in str(caught.value)


def fake_server(folder: Path, version: str) -> Path:
    path = folder / "redis-server"
    path.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
    path.chmod(0o755)
    return path


def test_the_one_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fake_server(tmp_path, "7.2.0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server() == server


def test_one_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake_server(tmp_path, "5.0.7")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_redis_server() != old


def test_none_at_all_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ridurre.embedded.shutil.which", lambda _: None)
    monkeypatch.setattr("ridurre.embedded.importlib.util.find_spec", lambda _: None)
    with pytest.raises(EmbeddedServiceError, match=r"(?s)none on the PATH.*RIDURRE_REDIS_URL"):
        find_redis_server()


def test_a_redis_that_is_named_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDURRE_REDIS_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert configured_url() is None
    monkeypatch.setenv("REDIS_URL", "redis://a/0")
    assert configured_url() == "redis://a/0"
    monkeypatch.setenv("RIDURRE_REDIS_URL", "redis://b/0")
    assert configured_url() == "redis://b/0"
