import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from jobs.errors import StoreUnavailableError
from jobs.status import JobStatus
from jobs.stores.base import Outcome
from jobs.stores.redis import RedisStore
from tests.contracts.job_store import MODEL, PROGRESS, JobStoreContract, make_spec

pytestmark = pytest.mark.e2e


@pytest.fixture
def raw_redis(redis_socket: Path) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(redis_socket), db=15, decode_responses=True) as client:
        client.flushdb()
        yield client


@pytest.fixture
def store(raw_redis: redis.Redis, redis_socket: Path) -> Iterator[RedisStore]:
    store = RedisStore(f"unix://{redis_socket}?db=15")
    yield store
    store.close()


class TestRedisStore(JobStoreContract):
    def test_results_of_before_are_read_as_figures_of_the_validation_set(self, store: RedisStore) -> None:
        old = {"accuracy": 0.9, "loss": 0.3, "params": 5, "macs": 7, "file_bytes": 9}
        renamed = {"val_accuracy": 0.9, "val_loss": 0.3, "params": 5, "macs": 7, "file_bytes": 9}
        job, _ = store.create(make_spec())
        claim = store.claim(job.id, 30)
        assert claim is not None
        store.update_progress(job.id, claim.fence, PROGRESS, old)
        assert store.get(job.id).metrics == old  # those of training
        store.finish(job.id, claim.fence, Outcome(JobStatus.SUCCEEDED, metrics=old))
        assert store.get(job.id).metrics == renamed

    def test_a_result_of_before_has_met_its_goal(self, store: RedisStore, raw_redis: redis.Redis) -> None:
        job, _ = store.create(make_spec())
        claim = store.claim(job.id, 30)
        assert claim is not None
        record = {"name": "plan.json", "media_type": "application/json", "size_bytes": 2, "sha256": "c" * 64}
        store.finish(job.id, claim.fence, Outcome(JobStatus.SUCCEEDED, goal_met=False))
        assert store.get(job.id).goal_met is False
        raw_redis.hdel(f"ridurre:job:{job.id}", "goal_met", "stopped_because")
        raw_redis.hset(f"ridurre:job:{job.id}", "artifacts", json.dumps([record]))
        old = store.get(job.id)
        assert (old.goal_met, old.stopped_because) == (True, None)
        assert (old.artifacts[0].candidate, old.artifacts[0].is_baseline) == (None, False)

    def test_nothing_is_left_of_a_deleted_job(self, store: RedisStore, raw_redis: redis.Redis) -> None:
        job, _ = store.create(make_spec(), "key")
        store.request_cancel(job.id)
        store.delete(job.id)
        assert set(raw_redis.keys("*")) == {"ridurre:seq", f"ridurre:input:{MODEL.id}", "ridurre:inputs:model"}

    def test_events_are_trimmed(self, store: RedisStore, raw_redis: redis.Redis) -> None:
        job, _ = store.create(make_spec())
        claim = store.claim(job.id, 30)
        assert claim is not None
        for _ in range(1500):
            store.update_progress(job.id, claim.fence, PROGRESS, {})
        assert 1000 <= raw_redis.xlen(f"ridurre:events:{job.id}") < 1200


def test_an_absent_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError):
        RedisStore(f"unix://{tmp_path}/nothing.sock").ping()
