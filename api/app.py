"""The application: routes, errors and services put together.

Started with `uvicorn api.app:app`, or with `api.server.run(settings)`. Importing this module neither
connects to anything nor loads Keras or Celery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.body_limit import BodyLimit
from api.deps import Services
from api.errors import Problem, install_error_handlers
from api.publisher import CeleryPublisher
from api.routes import artifacts, criteria, datasets, events, health, jobs, models
from api.wakeups import Wakeups
from jobs.artifacts.base import ArtifactStore
from jobs.artifacts.local import LocalArtifacts
from jobs.settings import Settings, settings_or_exit
from jobs.stores.base import JobStore
from jobs.stores.redis import RedisStore

ROUTERS = (models.router, datasets.router, jobs.router, events.router, artifacts.router, criteria.router, health.router)
ABANDONED_UPLOAD_SECONDS = 24 * 3600


def create_app(
    settings: Settings | None = None,
    *,
    store: JobStore | None = None,
    artifact_store: ArtifactStore | None = None,
    publish: Callable[[str], None] | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        settings: Default: read from the environment.
        store: Default: the Redis of the settings, first reached by the first request.
        artifact_store: Default: the data directory of the settings, created when the server starts.
        publish: Tells the workers that a job waits. Default: through Celery.
    """
    settings = settings or settings_or_exit()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        job_store = store or RedisStore(settings.state_url)
        blobs = artifact_store or LocalArtifacts(settings.artifacts_directory)
        blobs.remove_abandoned(ABANDONED_UPLOAD_SECONDS)
        wakeups = Wakeups(job_store)
        wakeups.start()
        app.state.services = Services(settings, job_store, blobs, publish or CeleryPublisher(settings), wakeups)
        yield
        wakeups.stop()

    app = FastAPI(
        title="Ridurre",
        summary="Structured pruning of Keras models as a service",
        version="1",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_spec_bytes,
        max_bytes_by_path=dict.fromkeys(("/v1/models", "/v1/datasets"), settings.max_upload_bytes),
    )
    install_error_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    _describe_problems(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _describe_problems(app: FastAPI) -> None:
    """Add the schema of problem documents to the OpenAPI description, which no response model mentions."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        description = describe()
        schemas = description["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {})
        schemas["Problem"] = problem
        return description

    app.openapi = openapi  # type: ignore[method-assign]


app = create_app()
