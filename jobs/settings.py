"""Settings of the service, read from the environment with the prefix `RIDURRE_`."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, AliasChoices, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from jobs.errors import SettingError
from pruning.field_errors import FieldError, field_errors
from pruning.json_schema import JsonSchema

HINT = "Change or unset the variable. See jobs/settings.py for all variables."
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+socket")
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _check_redis_url(url: str) -> str:
    if urlsplit(url).scheme not in REDIS_SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
        raise ValueError(f"A Redis URL must start with one of {schemes}. Received {urlsplit(url).scheme!r}.")
    return url


class Settings(BaseSettings):
    """Where things are and how long they may take. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="RIDURRE_", frozen=True, populate_by_name=True, extra="ignore")

    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias=AliasChoices("RIDURRE_REDIS_URL", "REDIS_URL"),
        description="`redis://host:port/db`, `rediss://…`, or a socket: `unix:///path?db=0`, "
        "`redis+socket:///path?virtual_host=0`. Holds the state of jobs.",
    )
    broker_db: int | None = Field(default=None, ge=0, description="Database of the queue. Default: the next one.")
    data_directory: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())] = Path("var")

    host: str = "127.0.0.1"
    port: int = Field(default=8470, ge=0, le=65_535)

    max_upload_bytes: int = Field(default=2 * 1024**3, ge=1)
    max_spec_bytes: int = Field(default=1024**2, ge=1)

    lease_seconds: Seconds = Field(default=30, description="A worker that is silent for longer loses its job.")
    heartbeat_seconds: Seconds = Field(default=10, description="How often a worker renews its lease.")
    poll_seconds: Seconds = Field(default=0.5, description="How often a worker checks its child and cancel requests.")
    grace_seconds: Seconds = Field(default=10, description="Time between SIGTERM and SIGKILL of a job's child.")
    job_time_limit_seconds: Seconds = Field(default=24 * 3600, description="Time limit of one attempt.")
    max_attempts: int = Field(default=3, ge=1, description="Number of worker crashes after which a job fails.")
    sweep_seconds: Seconds = Field(default=5, description="How often a worker checks for lost jobs.")
    republish_seconds: Seconds = Field(default=60, description="A job that is queued for longer is published again.")

    runner_command: tuple[str, ...] = Field(
        default=(), description="Command of the job's child, without the job directory, as a JSON list."
    )

    @model_validator(mode="after")
    def _check_times_and_databases(self) -> Settings:
        if not self.heartbeat_seconds < self.lease_seconds:
            raise ValueError("heartbeat_seconds must be less than lease_seconds, or every lease expires.")
        if not self.grace_seconds < self.lease_seconds:
            raise ValueError(
                "grace_seconds must be less than lease_seconds, because the lease is not renewed in the meantime."
            )
        if self.broker_db == self.state_db:
            raise ValueError(
                f"broker_db and the database in redis_url are both {self.broker_db}. They must be different."
            )
        return self

    @cached_property
    def state_db(self) -> int:
        """Number of the database that holds the state of jobs."""
        parts = urlsplit(self.redis_url)
        query = parse_qs(parts.query)
        digits = (query.get("db") or query.get("virtual_host") or [""])[0]
        if not digits and not self._is_socket:
            digits = parts.path
        digits = digits.strip("/") or "0"
        if not digits.isdecimal():
            raise ValueError(f"The database in redis_url is {digits!r}. Expected a number such as 0.")
        return int(digits)

    def environment(self) -> dict[str, str]:
        """Return the variables that give another process these settings."""
        fields = self.model_dump(mode="json", exclude_none=True)
        texts = {name: json.dumps(value) if isinstance(value, list) else str(value) for name, value in fields.items()}
        return {f"RIDURRE_{name.upper()}": text for name, text in texts.items()}

    @property
    def _is_socket(self) -> bool:
        return urlsplit(self.redis_url).scheme in ("unix", "redis+socket")

    @property
    def state_url(self) -> str:
        """URL of the job store, as redis-py spells it."""
        parts = urlsplit(self.redis_url)
        if self._is_socket:
            return f"unix://{parts.netloc}{parts.path}?db={self.state_db}"
        return parts._replace(path=f"/{self.state_db}").geturl()

    @property
    def broker_url(self) -> str:
        """URL of the queue, as Celery spells it."""
        parts = urlsplit(self.redis_url)
        database = self.state_db + 1 if self.broker_db is None else self.broker_db
        if self._is_socket:
            return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
        return parts._replace(path=f"/{database}").geturl()

    @property
    def artifacts_directory(self) -> Path:
        """Where models, datasets and results are kept."""
        return self.data_directory / "artifacts"

    @property
    def workspace_directory(self) -> Path:
        """Where the directories of running jobs are."""
        return self.data_directory / "workspace"


def settings_of_environment() -> Settings:
    """Return the settings of the environment.

    Raises:
        SettingError: A variable is not what its setting can be; the error has a line for each.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [_of_variable(each) for each in field_errors(error.errors(), JsonSchema(Settings.model_json_schema()))]
        raise SettingError(
            "\n".join(f"{each.field}: {each.detail}" if each.field else each.detail for each in wrong),
            field=wrong[0].field or None,
            received=wrong[0].received,
            expected=wrong[0].expected,
            hint=HINT,
        ) from None
    except SettingsError as error:
        raise SettingError(f"{error}", received=str(error.__cause__), expected="a list as JSON", hint=HINT) from None


def settings_or_exit() -> Settings:
    """Return the settings of the environment, or end the process with what is wrong with them."""
    try:
        return settings_of_environment()
    except SettingError as error:
        raise SystemExit(f"ridurre cannot start: {error}") from None


def _of_variable(error: FieldError) -> FieldError:
    """Return an error that names the variable, without what may hold a password."""
    name = error.field.upper()
    variable = name if not name or name.startswith(("RIDURRE_", "REDIS_URL")) else f"RIDURRE_{name}"
    is_shown = variable and "URL" not in variable
    return error.model_copy(update={"field": variable, "received": error.received if is_shown else None})
