"""A process that is killed leaves a run that another process ends as if nothing had been."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pruning.run.kills import Death, Runs, differences

SPEC: dict[str, Any] = {"criterion": "taylor", "ratio": 0.25, "num_iterations": 2}
TRAINING: dict[str, Any] = {"epochs": 1, "fine_tuning_epochs": 2, "post_training_epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(SPEC, TRAINING, tmp_path_factory.mktemp("runs"), {})


def test_a_run_that_is_killed_again_and_again_ends_the_same(runs: Runs) -> None:
    """Twice at any moment, once right after a checkpoint, once in the middle of one."""
    whole = runs.whole("whole")
    first, second = np.random.default_rng(0).uniform(0.1, 0.5, 2) * whole["seconds"]
    ended = runs.killed("killed", [float(first), Death(2), Death(2, "arrays.npz"), float(second)])
    assert runs.num_kills >= 3
    assert differences(whole, ended) == []


def test_differences_are_found() -> None:
    one: dict[str, Any] = {"models": {"a": {"0 kernel": "1"}}, "history": {}, "plan": {}, "report": {}, "seconds": 1}
    assert differences(one, {**one, "seconds": 2}) == []
    assert differences(one, {**one, "models": {"a": {"0 kernel": "2"}}}) == ["a: 0 kernel"]
    assert differences(one, {**one, "models": {}}) == ["a: 0 kernel"]
    assert differences(one, {**one, "history": {"training": {}}}) == ["history"]
