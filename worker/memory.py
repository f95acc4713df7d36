"""Whether the kernel killed something of ours for want of memory."""

from __future__ import annotations

from pathlib import Path


def oom_kills(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return how often the kernel killed a process of our control group; `None` where it does not say."""
    try:
        groups = membership.read_text().splitlines()
    except OSError:
        return None
    own = next((line.removeprefix("0::").strip("/") for line in groups if line.startswith("0::")), "")
    for events in (root / own / "memory.events", root / "memory.events"):
        try:
            fields = dict(line.split() for line in events.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if fields.get("oom_kill", "").isdecimal():
            return int(fields["oom_kill"])
    return None
