from pathlib import Path

import pytest

from worker.memory import oom_kills

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("group", ["", "system.slice/worker"])
def test_kills_are_counted_in_the_own_group(tmp_path: Path, group: str) -> None:
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    (tmp_path / group / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    membership = tmp_path / "cgroup"
    membership.write_text(f"0::/{group}\n")
    assert oom_kills(tmp_path, membership) == 2


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    assert oom_kills(tmp_path, tmp_path / "nothing") is None
    (tmp_path / "cgroup").write_text("1:memory:/x\n")
    assert oom_kills(tmp_path, tmp_path / "cgroup") is None
