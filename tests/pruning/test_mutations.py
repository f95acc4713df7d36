"""The tests notice a broken library: each fault of `tests.mutations` makes the test fail that is there to find it."""

from __future__ import annotations

from typing import Any

import pytest
from keras import layers

from tests.mutations import MUTATIONS, Mutation
from tests.pruning import test_rules
from tests.pruning.proof import test_verification

ROWS: dict[str, Any] = {name: (make, shape) for name, make, shape in test_rules.FOLLOWED}
OTHERS = {
    "test_merges": lambda: test_rules.test_merges(layers.Add, (8, 8, 6)),
    "test_concatenation_along_any_axis": lambda: test_rules.test_concatenation_along_any_axis(-1),
    "test_masks_that_keras_hangs_on_tensors_are_passed_on": (
        lambda: test_verification.test_masks_that_keras_hangs_on_tensors_are_passed_on(test_verification.attended)
    ),
}


def run(name: str) -> None:
    """Run one row of the table of rules, or another test of that file."""
    if name in OTHERS:
        OTHERS[name]()
    else:
        test_rules.test_channels_are_followed_through(*ROWS[name])


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_fault_is_found(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    run(mutation.caught_by)
    mutation.apply(monkeypatch)
    with pytest.raises(Exception):  # noqa: B017, PT011 - an assertion that fails, or shapes that do not fit.
        run(mutation.caught_by)
