"""What a route needs: the services of the application, and common parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request

from api.wakeups import Wakeups
from jobs.artifacts.base import ArtifactStore
from jobs.settings import Settings
from jobs.stores.base import JobStore

MAX_WAIT_SECONDS = 60


@dataclass(frozen=True)
class Services:
    """What the application was built from."""

    settings: Settings
    store: JobStore
    artifacts: ArtifactStore
    publish: Callable[[str], None]
    wakeups: Wakeups


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
Limit = Annotated[int, Query(ge=1, le=200, description="Maximum number of items per page.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the previous page.")]
Filename = Annotated[str, Query(min_length=1, max_length=1000, description="Display name of the file.")]
IfNoneMatch = Annotated[str | None, Header(description="`ETag` of the last response.")]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS, description="Maximum time to wait for a change, in seconds.")]
