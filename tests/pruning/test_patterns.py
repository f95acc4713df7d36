import pytest

from pruning.patterns import matches, matches_any, why_wrong

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("stem", "stem"), ("block/.*", "block/conv1"), (".*conv[12]", "block/conv2"), (r"block/conv\d", "block/conv1")],
)
def test_a_pattern_matches_a_whole_path(pattern: str, path: str) -> None:
    assert matches(pattern, path)
    assert matches_any(["other", pattern], ["nowhere", path])


@pytest.mark.parametrize("pattern", ["ste", "conv1", "block", "conv.*", "x*"])
def test_a_part_is_no_match(pattern: str) -> None:
    assert not matches_any([pattern], ["stem", "block/conv1", "block/conv2"])


def test_no_pattern_takes_long() -> None:
    """Python's `re` would take longer than a life."""
    assert not matches("(a+)+b", "a" * 10_000)


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "a(?=b)", "(?:a{900}){900}", "\ud800"])
def test_what_is_no_pattern_says_why(pattern: str) -> None:
    assert why_wrong(pattern)


def test_a_path_may_be_any_text() -> None:
    assert matches("caf.", "café")
    assert matches("a.*", "a\ud800")
