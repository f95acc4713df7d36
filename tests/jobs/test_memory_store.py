import pytest

from jobs.stores.memory import MemoryStore
from tests.contracts.job_store import JobStoreContract

pytestmark = pytest.mark.fast


class TestMemoryStore(JobStoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
