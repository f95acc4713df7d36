"""RedisStore: jobs in Redis, every change one Lua script."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from jobs.errors import StoreUnavailableError
from jobs.record import Event, JobRecord, Page, Progress
from jobs.spec import JobSpec
from jobs.status import JobStatus
from jobs.stores import base, refusals
from jobs.stores.base import Claim, Input, JobStore, Outcome
from jobs.stores.cursors import decode_cursor, encode_cursor, parse_event_cursor
from jobs.stores.lua import PRELUDE, SCRIPTS
from jobs.stores.redis_codec import artifacts_json, compact_json, event_from_entry, job_from_hash

PREFIX = "ridurre:"

logger = logging.getLogger(__name__)


class RedisStore(JobStore):
    """The state of jobs in one Redis database."""

    def __init__(self, url: str, *, prefix: str = PREFIX, timeout_seconds: float = 5.0) -> None:
        self._prefix = prefix
        self._redis: redis.Redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            health_check_interval=30,
            # A script bears repetition when the reply is lost: new ids, fences and statuses guard each of them.
            retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 2, supported_errors=(redis.ConnectionError,)),
        )
        self._scripts = {name: self._redis.register_script(PRELUDE + body) for name, body in SCRIPTS.items()}

    def close(self) -> None:
        """Close all connections."""
        self._redis.close()

    def ping(self) -> None:
        with _reaching_redis():
            self._redis.ping()

    def create(self, spec: JobSpec, idempotency_key: str | None = None) -> tuple[JobRecord, bool]:
        job_id = f"job_{secrets.token_hex(12)}"
        key = "" if idempotency_key is None else hashlib.sha256(idempotency_key.encode()).hexdigest()
        inputs = [part for pair in spec.input_ids.items() for part in pair]
        word, *rest = self._run(
            "create", job_id, spec.digest(), key, compact_json(spec.as_json()), compact_json(spec.name), *inputs
        )
        if word == "key-reused":
            raise refusals.key_reused(idempotency_key or "")
        if word == "missing":
            raise refusals.missing_input(*rest)
        return job_from_hash(rest[0]), word == "created"

    def get(self, job_id: str) -> JobRecord:
        with _reaching_redis():
            fields = cast("dict[str, str]", self._redis.hgetall(self._key("job", job_id)))
        if not fields:
            raise refusals.not_found("job", job_id)
        return job_from_hash(fields)

    def list_jobs(self, status: JobStatus | None = None, limit: int = 50, cursor: str | None = None) -> Page[JobRecord]:
        index = self._prefix + "jobs" if status is None else self._key("jobs", status.value)
        ids, next_cursor = self._page(index, limit, cursor)
        with _reaching_redis(), self._redis.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hgetall(self._key("job", job_id))
            jobs = tuple(job_from_hash(fields) for fields in pipeline.execute() if fields)
        return Page(items=jobs, next_cursor=next_cursor)

    def request_cancel(self, job_id: str) -> JobRecord:
        word, *rest = self._run("request_cancel", job_id)
        if word == "missing":
            raise refusals.not_found("job", job_id)
        if word == "finished":
            raise refusals.already_finished(job_id, rest[0])
        return job_from_hash(rest[0])

    def delete(self, job_id: str) -> None:
        word, *rest = self._run("delete", job_id)
        if word == "missing":
            raise refusals.not_found("job", job_id)
        if word == "unfinished":
            raise refusals.still_unfinished(job_id, rest[0])

    def claim(self, job_id: str, lease_seconds: float) -> Claim | None:
        word, *rest = self._run("claim", job_id, _milliseconds(lease_seconds))
        return Claim(job_from_hash(rest[0]), int(rest[1])) if word == "claimed" else None

    def renew(self, job_id: str, fence: int, lease_seconds: float) -> JobRecord:
        return self._held("renew", job_id, fence, _milliseconds(lease_seconds))

    def update_progress(self, job_id: str, fence: int, progress: Progress, metrics: Mapping[str, float]) -> None:
        fields = progress.model_dump(mode="json")
        data = compact_json({**fields, "metrics": dict(metrics)})
        word, *_ = self._run("update_progress", job_id, fence, compact_json(fields), compact_json(dict(metrics)), data)
        if word == "lost":
            raise refusals.lease_lost(job_id)

    def finish(self, job_id: str, fence: int, outcome: Outcome) -> JobRecord:
        error = "" if outcome.error is None else compact_json(outcome.error.model_dump(mode="json"))
        metrics, artifacts = compact_json(dict(outcome.metrics)), artifacts_json(outcome.artifacts)
        goal = compact_json(outcome.goal_met), compact_json(outcome.stopped_because)
        return self._held("finish", job_id, fence, outcome.status.value, error, metrics, artifacts, *goal)

    def release(self, job_id: str, fence: int) -> JobRecord:
        return self._held("release", job_id, fence)

    def expire(self, job_id: str, max_attempts: int) -> JobRecord | None:
        error = compact_json(refusals.crashed_too_often(max_attempts).model_dump(mode="json"))
        word, *rest = self._run("expire", job_id, max_attempts, error)
        return job_from_hash(rest[0]) if word == "expired" else None

    def take_publication(self, job_id: str, after_seconds: float) -> bool:
        return bool(self._run("take_publication", job_id, _milliseconds(after_seconds))[0] == "taken")

    def read_events(self, job_id: str, after: str = base.FIRST_CURSOR, limit: int = 100) -> list[Event]:
        milliseconds, sequence = parse_event_cursor(after)
        start = f"({milliseconds}-{sequence}"
        with _reaching_redis(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.exists(self._key("job", job_id))
            pipeline.xrange(self._key("events", job_id), min=start, count=limit)
            exists, entries = pipeline.execute()
        if not exists:
            raise refusals.not_found("job", job_id)
        return [event_from_entry(entry_id, fields) for entry_id, fields in entries]

    def changes(self, should_stop: Callable[[], bool]) -> Iterator[str | None]:
        is_lost = False
        while not should_stop():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    subscription.subscribe(self._prefix + "changes")
                    is_lost = False
                    yield None
                    while not should_stop():
                        message = subscription.get_message(timeout=0.5)
                        yield message["data"] if message is not None else None
            except (redis.ConnectionError, redis.TimeoutError):
                if not is_lost:
                    logger.warning("lost the connection to Redis while listening for changes; retrying")
                is_lost = True
                yield None
                time.sleep(0.5)

    def add_input(self, record: Input) -> tuple[Input, bool]:
        word, *rest = self._run("add_input", record.id, record.kind, record.model_dump_json())
        return (type(record).model_validate_json(rest[0]), False) if word == "known" else (record, True)

    def get_input(self, kind: type[Input], input_id: str) -> Input:
        with _reaching_redis():
            text = self._redis.get(self._key("input", input_id)) if input_id.startswith(kind.prefix) else None
        if text is None:
            raise refusals.not_found(kind.kind, input_id)
        return kind.model_validate_json(cast(str, text))

    def list_inputs(self, kind: type[Input], limit: int = 50, cursor: str | None = None) -> Page[Input]:
        ids, next_cursor = self._page(self._key("inputs", kind.kind), limit, cursor)
        with _reaching_redis():
            texts = cast("list[str | None]", self._redis.mget([self._key("input", i) for i in ids]) if ids else [])
        items = tuple(kind.model_validate_json(text) for text in texts if text is not None)
        return Page(items=items, next_cursor=next_cursor)

    def delete_input(self, kind: type[Input], input_id: str) -> None:
        word, *rest = self._run("delete_input", input_id, kind.kind)
        if word == "missing":
            raise refusals.not_found(kind.kind, input_id)
        if word == "needed":
            raise refusals.still_needed(kind.kind, input_id, rest[0])

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    def _run(self, script: str, identifier: str, *arguments: str | int) -> list[Any]:
        with _reaching_redis():
            return cast("list[Any]", self._scripts[script](args=[self._prefix, identifier, *arguments]))

    def _held(self, script: str, job_id: str, fence: int, *arguments: str | int) -> JobRecord:
        word, *rest = self._run(script, job_id, fence, *arguments)
        if word == "lost":
            raise refusals.lease_lost(job_id)
        return job_from_hash(rest[0])

    def _page(self, index: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        before = "+inf" if cursor is None else f"({decode_cursor(cursor)}"
        with _reaching_redis():
            found = self._redis.zrevrangebyscore(index, before, "-inf", start=0, num=limit + 1, withscores=True)
        rows = cast("list[tuple[str, float]]", found)
        next_cursor = encode_cursor(int(rows[limit - 1][1])) if len(rows) > limit else None
        return [identifier for identifier, _ in rows[:limit]], next_cursor


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


@contextmanager
def _reaching_redis() -> Iterator[None]:
    """Turn the failures of the server, not those of our requests, into `StoreUnavailableError`."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise StoreUnavailableError("Redis is unreachable.", hint="Try again in a few seconds.") from error
    except (redis.OutOfMemoryError, redis.ReadOnlyError) as error:
        raise StoreUnavailableError("Redis rejects writes.", hint="Free memory in Redis, or wait.") from error
