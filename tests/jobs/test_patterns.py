import pytest

from jobs import patterns
from jobs.patterns import unmatched_patterns
from pruning.errors import SpecError

pytestmark = pytest.mark.fast

LAYERS = ("stem", "block/conv1", "block/conv2")


@pytest.mark.parametrize("pattern", ["stem", "block/conv1", "block/.*", ".*conv[12]", r"block/conv\d"])
def test_a_pattern_matches_a_whole_path(pattern: str) -> None:
    assert unmatched_patterns([pattern], LAYERS) == []


@pytest.mark.parametrize("pattern", ["ste", "conv1", "block", "conv.*", "x*"])
def test_a_part_is_no_match(pattern: str) -> None:
    assert unmatched_patterns([pattern], LAYERS) == [pattern]


def test_an_endless_pattern_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(SpecError, match="too long"):
        unmatched_patterns(["(a+)+b"], ["a" * 200])
