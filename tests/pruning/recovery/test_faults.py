"""The tests of recovery notice when it is broken: each fault makes the test fail that is there to find it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from keras import layers

from pruning.graph.program import Program
from pruning.recovery import fitting, statistics
from pruning.recovery.averaging import Averages
from pruning.recovery.distillation import Teaching
from pruning.recovery.phase import TrainingPhase
from pruning.recovery.schedule import Schedule
from pruning.training.batches import Batches
from tests.pruning.recovery import test_averaging, test_distillation, test_fitting, test_schedule, test_statistics

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


def _unsettled_after(phase: str) -> Apply:
    def apply(patch: pytest.MonkeyPatch) -> None:
        train, settle, now = fitting.Recovery.train, fitting.Recovery.settle, [""]

        def trained(self: fitting.Recovery, model: Any, over: TrainingPhase, *args: Any, **kwargs: Any) -> Any:
            now[0] = over.name
            done = train(self, model, over, *args, **kwargs)
            now[0] = ""
            return done

        patch.setattr(fitting.Recovery, "train", trained)
        patch.setattr(fitting.Recovery, "settle", lambda self, *args: False if now[0] == phase else settle(self, *args))

    return apply


def _without_a_budget(patch: pytest.MonkeyPatch) -> None:
    make = Schedule.__init__

    def alone(self: Schedule, training: Any, peak: float, phase: TrainingPhase, *args: Any, **kwargs: Any) -> None:
        make(self, training, peak, replace(phase, first_step=0, total_steps=None), *args, **kwargs)

    patch.setattr(Schedule, "__init__", alone)


def _from_the_first_order(patch: pytest.MonkeyPatch) -> None:
    make = Batches.__init__
    patch.setattr(Batches, "__init__", lambda self, *args, **kwargs: make(self, *args, **{**kwargs, "first_epoch": 0}))


def _teacher_in_training(patch: pytest.MonkeyPatch) -> None:
    of = Teaching.of

    def trained(*args: Any) -> Teaching:
        made = of(*args)
        told = made.told
        return replace(made, told=lambda x, training: told(x, training=True))

    patch.setattr(Teaching, "of", trained)


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
    "the learning rate is constant": (
        lambda patch: patch.setattr(Schedule, "rate", lambda self, step: self._peak),
        _rates,
    ),
    "the learning rate does not warm up": (_without_warm_up, _rates),
    "statistics are not measured anew after post-training": (
        _unsettled_after("post-training"),
        lambda patch: test_statistics.test_after_every_phase_there_is_nothing_left_to_settle("post_training_epochs"),
    ),
    "the learning rate warms up and falls in each phase": (
        _without_a_budget,
        lambda patch: test_schedule.test_phases_of_one_budget_warm_up_once_and_fall_once(),
    ),
    "the last epoch is kept, not the best": (
        lambda patch: patch.setattr(fitting.Recovery, "_keep_best", lambda self, *args: None),
        lambda patch: test_fitting.test_what_makes_a_model_worse_is_undone(),
    ),
    "a training that goes on begins with the first order": (
        _from_the_first_order,
        lambda patch: test_fitting.test_a_training_goes_on_with_the_batches_that_it_would_have_seen(),
    ),
    "the teacher drops out": (
        _teacher_in_training,
        lambda patch: test_distillation.test_a_teacher_drops_nothing_out(),
    ),
    "averages never take the place of the weights": (
        lambda patch: patch.setattr(Averages, "swap", lambda self, averaged: averaged),
        lambda patch: test_averaging.test_averages_are_those_by_hand(0.999),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    apply, check = FAULTS[fault]
    with monkeypatch.context() as patch:
        check(patch)
    apply(monkeypatch)
    with pytest.raises(AssertionError):
        check(monkeypatch)
