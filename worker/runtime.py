"""Runtime: what one worker process holds, made when the worker is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache

from jobs.artifacts.local import LocalArtifacts
from jobs.settings import Settings, settings_or_exit
from jobs.stores.redis import RedisStore
from worker.directory import remove_abandoned
from worker.supervisor import Supervisor
from worker.sweep import Sweeper


class Runtime:
    """Stores, supervisor and sweeper of one worker process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self.store = RedisStore(settings.state_url)
        self.artifacts = LocalArtifacts(settings.artifacts_directory)
        self.supervisor = Supervisor(self.store, self.artifacts, settings, self.stopping)

    def start_sweeping(self, publish: Callable[[str], None]) -> None:
        """Clean up after workers that died, now and then."""
        remove_abandoned(self.settings.workspace_directory)
        sweeper = Sweeper(self.store, publish, self.settings)
        threading.Thread(target=sweeper.run, args=(self.stopping,), name="ridurre-sweeper", daemon=True).start()


@cache
def runtime() -> Runtime:
    """Return the runtime of this process, made at the first call from the environment."""
    return Runtime(settings_or_exit())
