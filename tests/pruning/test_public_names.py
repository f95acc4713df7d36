"""What `import pruning` offers."""

from __future__ import annotations

import inspect

import pytest

import pruning
from pruning import errors

pytestmark = pytest.mark.fast

ERRORS = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.PruningError)
}


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_of_the_library_is_at_the_top(name: str) -> None:
    assert getattr(pruning, name) is ERRORS[name]
    assert name in pruning.__all__
    assert name in dir(pruning)
    assert f"from pruning.errors import {name} as {name}\n" in inspect.getsource(pruning)  # for type checkers


def test_errors_are_caught_by_their_public_names() -> None:
    for name in ("NothingToPruneError", "TrainingError", "UnknownCriterionError"):
        with pytest.raises(getattr(pruning, name)):
            raise ERRORS[name]("refused")
    with pytest.raises(AttributeError, match="NonsenseError"):
        _ = pruning.NonsenseError
