"""The tests of recovery notice when it is broken: each fault makes the test fail that is there to find it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from keras import layers

from pruning.graph.program import Program
from pruning.recovery import fitting, statistics
from pruning.recovery.schedule import Schedule
from pruning.training.batches import Batches
from tests.pruning.recovery import test_fitting, test_resuming, test_schedule, test_statistics

Apply = Callable[[pytest.MonkeyPatch], None]
Check = Callable[[pytest.MonkeyPatch], None]


def _in_training_mode(patch: pytest.MonkeyPatch) -> None:
    run = Program.run

    def all_of_it(self: Program, values: Any, wanted: Any, **_: Any) -> Any:
        return run(self, values, wanted, training={id(step.node.operation) for step in self.steps})

    patch.setattr(Program, "run", all_of_it)


def _augmented(patch: pytest.MonkeyPatch) -> None:
    make = Batches.__init__

    def augmented(self: Batches, *args: Any, **kwargs: Any) -> None:
        flips = test_fitting.TrainingSpec.model_validate({"augmentation": {"horizontal_flip": True}}).augmentation
        make(self, *args, **{**kwargs, "augmentation": kwargs.get("augmentation") or flips})

    patch.setattr(Batches, "__init__", augmented)


def _only_the_last_batch(patch: pytest.MonkeyPatch) -> None:
    refresh = statistics.refresh_statistics
    last = lambda model, norms, batches: refresh(model, norms, list(batches)[-1:])  # noqa: E731
    patch.setattr(test_statistics, "refresh_statistics", last)


def _without_warm_up(patch: pytest.MonkeyPatch) -> None:
    rate = Schedule.rate
    patch.setattr(Schedule, "rate", lambda self, step: rate(self, max(step, self._warmup)))


def _from_the_first_epoch(patch: pytest.MonkeyPatch) -> None:
    make = Batches.__init__

    def anew(self: Batches, *args: Any, first_epoch: int = 0, **kwargs: Any) -> None:
        make(self, *args, **kwargs)

    patch.setattr(Batches, "__init__", anew)


def _goes_on(patch: pytest.MonkeyPatch) -> None:
    test_resuming.test_a_phase_goes_on_after_any_of_its_epochs("frozen")


def _means(patch: pytest.MonkeyPatch) -> None:
    test_statistics.test_statistics_are_the_means_over_all_batches_without_dropout(False)


def _fresh(patch: pytest.MonkeyPatch) -> None:
    training = {"epochs": 5, "fine_tuning_epochs": 0}
    test_statistics.test_every_model_after_training_is_measured_with_fresh_statistics(training)


def _rates(patch: pytest.MonkeyPatch) -> None:
    test_schedule.test_rates_warm_up_and_then_follow_the_schedule("cosine", 0.5, 0.0004)


FAULTS: dict[str, tuple[Apply, Check]] = {
    "statistics are never measured anew": (
        lambda patch: patch.setattr(fitting.Recovery, "settle", lambda self, model, freeze=(): False),
        _fresh,
    ),
    "worse statistics are kept": (
        lambda patch: patch.setattr(fitting, "restore_statistics", lambda normalizations, before: None),
        test_statistics.test_statistics_that_are_better_than_new_ones_are_kept,
    ),
    "new statistics are thrown away": (
        lambda patch: patch.setattr(fitting, "refresh_statistics", lambda model, normalizations, batches: None),
        lambda patch: test_statistics.test_stale_statistics_are_replaced_and_good_ones_kept(),
    ),
    "dropout is at work while statistics are measured": (_in_training_mode, _means),
    "statistics are those of the last batch": (_only_the_last_batch, _means),
    "frozen statistics are measured anew": (
        lambda patch: patch.setattr(fitting, "frozen", lambda model, freeze: contextlib.nullcontext()),
        lambda patch: test_statistics.test_frozen_statistics_stay(),
    ),
    "layers that are not trained are measured anew": (
        lambda patch: patch.setattr(
            test_statistics,
            "trained_normalizations",
            lambda model: [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)],
        ),
        lambda patch: test_statistics.test_statistics_can_be_given_back_and_layers_that_are_not_trained_keep_theirs(),
    ),
    "validation batches are augmented": (
        _augmented,
        lambda patch: test_fitting.test_only_training_batches_are_augmented_and_shuffled(),
    ),
    "a training that goes on sees the batches of the first epoch again": (_from_the_first_epoch, _goes_on),
    "the learning rate is constant": (
        lambda patch: patch.setattr(Schedule, "rate", lambda self, step: self._peak),
        _rates,
    ),
    "the learning rate does not warm up": (_without_warm_up, _rates),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, check = FAULTS[fault]
    with monkeypatch.context() as patch:
        check(patch)
    apply(monkeypatch)
    with pytest.raises(AssertionError):
        check(monkeypatch)
