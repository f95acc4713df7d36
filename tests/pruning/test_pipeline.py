"""The whole pipeline on small data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, apply_plan, prune
from pruning.errors import DataError, InfeasibleError, NothingToPruneError, SpecError, TrainingError
from pruning.pipeline import PruningResult
from pruning.progress import Progress
from tests.pruning.models import blobs, residual, same, values
from tests.strategies import randomise

SHORT = {"fine_tuning_epochs": 1}


def test_train_prune_fine_tune_and_post_train() -> None:
    model = residual(compiled=True)
    before, seen = values(model), []
    result = prune(
        model,
        PruningSpec(criterion="kmeans", ratio=0.25, num_iterations=2),
        blobs(),
        training=TrainingSpec(epochs=1, fine_tuning_epochs=1, post_training_epochs=1, batch_size=32),
        on_progress=seen.append,
    )
    assert [(step.step, step.iteration) for step in result.report.steps] == [
        ("initial", None), ("training", None), ("pruning", 1), ("fine-tuning", 1), ("pruning", 2), ("fine-tuning", 2),
        ("post-training", None),
    ]  # fmt: skip
    assert set(result.history) == {"training", "fine-tuning 1", "fine-tuning 2", "post-training"}
    assert len(result.history["training"]["val_accuracy"]) == 1
    _check_names(result, seen)
    assert same(before, values(model)), "the given model was changed"
    assert result.report.after.params == result.model.count_params() < result.report.before.params
    assert result.report.stopped_because == "all 2 iterations are complete"
    assert [variable.shape for variable in apply_plan(model, result.plan).variables] == [
        variable.shape for variable in result.model.variables
    ]
    first, second = (step.layers for step in result.report.steps if step.step == "pruning")
    assert [row.params_after for row in first] == [row.params_before for row in second]
    assert [row.params_after for row in second] == [row.params_after for row in result.report.layers]
    _check_progress(seen)


def _check_names(result: PruningResult, seen: list[Progress]) -> None:
    """No figure of training has the name of one of the validation set, wherever the two are told."""
    measured = {name for step in result.report.steps for name in step.metrics}
    assert measured == {"val_loss", "val_accuracy"}
    for figures in result.history.values():
        assert {name for name in figures if not name.startswith("val_")} >= {"loss", "accuracy"}
        assert {name for name in figures if name.startswith("val_")} == measured
    after_steps = [progress.metrics for progress in seen if "params" in progress.metrics]
    assert len(after_steps) == len(result.report.steps)
    for told, step in zip(after_steps, result.report.steps, strict=True):
        assert {name: told[name] for name in told if name not in ("params", "macs")} == step.metrics
    last = [progress.metrics for progress in seen if progress.epoch and progress.phase == "post-training"][-1]
    assert last["accuracy"] == result.history["post-training"]["accuracy"][-1]
    assert last["val_accuracy"] == result.history["post-training"]["val_accuracy"][-1]


def _check_progress(seen: list[Progress]) -> None:
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {progress.phase for progress in seen} == {
        "loading", "training", "pruning", "fine-tuning", "post-training", "saving"
    }  # fmt: skip


def test_reported_metrics_are_those_of_the_delivered_model() -> None:
    images, labels = blobs()
    validation = blobs(64, seed=9)
    result = prune(
        residual(compiled=True), PruningSpec(ratio=0.5), ((images, labels), validation),
        training=TrainingSpec(fine_tuning_epochs=1, batch_size=32),
    )  # fmt: skip
    accuracy = np.mean(np.argmax(result.model.predict(validation[0], verbose=0), axis=1) == validation[1])
    assert result.report.after.metrics["val_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert isinstance(result.model.optimizer, keras.optimizers.SGD)


def test_without_data_only_the_model_shrinks() -> None:
    result = prune(residual(), PruningSpec(criterion="l1_norm", target_params=0.4))
    assert [step.step for step in result.report.steps] == ["initial", "pruning"]
    assert result.report.after.params <= 0.4 * result.report.before.params
    assert result.report.after.metrics == {}
    assert result.report.after.max_relative_difference is not None
    assert result.report.stopped_because == "target_params 0.4 is reached"


@pytest.mark.parametrize(
    ("asked", "iterations", "because"),
    [
        ({"ratio": 0.2, "target_params": 0.3}, None, "target_params 0.3 is reached"),
        ({"ratio": 0.2, "max_filters_removed": 0.5}, None, "max_filters_removed 0.5 is reached"),
        ({"target_params": 0.3, "num_iterations": 3}, 3, "target_params 0.3 is reached"),
        ({"ratio": 0.2, "num_iterations": 2}, 2, "all 2 iterations are complete"),
        ({"ratio": 0.5, "schedule": "one_shot", "num_iterations": 5}, 1, "all 1 iterations are complete"),
        ({"ratio": 0.4, "num_iterations": 9, "min_channels": 4}, None, "allow no more channels"),
        ({"ratio": 0.1, "target_params": 0.1, "num_iterations": 2}, 2, "target_params 0.1 missed: 0.6"),
        ({"target_macs": 0.5, "target_params": 0.9}, 1, "target_params 0.9 and target_macs 0.5 are reached"),
        ({"target_params": 1000, "num_iterations": 2}, 2, "target_params 1000 is reached"),
        ({"target_file_bytes": 0.9}, 1, "target_file_bytes 0.9 is reached"),
        ({"ratio": 0.3, "round_to": 4, "num_iterations": 3, "include": ["expand"]}, 2, "all 3 iterations are complete"),
        ({"ratio": 0.3, "max_ratio": 0.5, "num_iterations": 9}, 2, "allow no more channels"),
        ({"target_params": 1e9}, 0, "already meets target_params 1000000000"),
        ({"target_params": 0.5, "num_iterations": 2, "schedule": lambda i, n: np.float32(i)}, 2, "is reached"),
        ({"target_params": 0.5, "max_filters_removed": 0.3, "num_iterations": 2}, None, "target_params 0.5 is reached"),
        (
            {"ratio": 0.1, "target_params": 0.45, "max_filters_removed": 0.3},
            None,
            "max_filters_removed 0.3 is reached; target_params 0.45 missed",
        ),
    ],
)
def test_stop_conditions(asked: dict[str, object], iterations: int | None, because: str) -> None:
    result = prune(residual(), PruningSpec.model_validate({"criterion": "l1_norm", **asked}))
    done = [step for step in result.report.steps if step.step == "pruning"]
    assert iterations is None or len(done) == iterations
    assert because in result.report.stopped_because


def test_schedules_shape_the_ratio() -> None:
    removed = {}
    for schedule in ("constant", "linear", "exponential", lambda iteration, num_iterations: iteration - 1.0):
        spec = PruningSpec(criterion="l1_norm", ratio=0.25, num_iterations=2, schedule=schedule, include=["expand"])
        plan = prune(residual(), spec).plan
        removed[spec.model_dump()["schedule"]] = 16 - len(plan.groups[1].keep)
    assert removed == {"constant": 4 + 3, "linear": 4 + 2, "exponential": 4 + 2, "<lambda>": 0 + 4}


def test_a_schedule_that_fails_is_named() -> None:
    spec = PruningSpec(ratio=0.25, num_iterations=2, schedule=lambda iteration, num_iterations: 1 / 0)
    with pytest.raises(SpecError, match="ZeroDivisionError") as caught:
        prune(residual(), spec)
    assert caught.value.field == "pruning.schedule"


def test_ratios_of_single_layers_hold_for_the_only_prune_of_one_shot() -> None:
    asked = {"ratios": {".*": 0.1}, "target_params": 0.5, "num_iterations": 9}
    with pytest.raises(InfeasibleError) as caught:
        prune(residual(), {**asked, "schedule": "one_shot"})
    assert caught.value.binding == ("ratios",)
    assert prune(residual(), asked).report.stopped_because == "target_params 0.5 is reached"


def test_widths_that_are_rounded_do_not_stand_still() -> None:
    """Each prune by itself would take less than a step; together they take several."""
    for scope in ("local", "global"):
        spec = PruningSpec(
            criterion="l1_norm", scope=scope, ratio=0.2, round_to=8, num_iterations=5, include=["expand"]
        )
        assert len(prune(residual(), spec).plan.groups[1].keep) == 8


def test_a_wrong_spec_is_one_of_our_errors() -> None:
    with pytest.raises(SpecError, match="less than 1"):
        prune(residual(), {"ratio": 2})
    with pytest.raises(SpecError, match=r"Unknown field.*Did you mean .epochs.\?") as caught:
        prune(residual(), {"ratio": 0.5}, training={"epoch": 2})
    assert caught.value.field == "training.epoch"


def test_an_infeasible_target_is_refused_before_any_training() -> None:
    with pytest.raises(InfeasibleError):
        prune(residual(), {"target_params": 0.001}, blobs(), training={"epochs": 500})


def test_frozen_layers_are_neither_trained_nor_pruned() -> None:
    model = residual(compiled=True)
    model.get_layer("project").trainable = False
    result = prune(
        model, {"ratio": 0.5, "freeze": ["stem.*"]}, blobs(), training={"epochs": 1, "fine_tuning_epochs": 1}
    )
    for name in ("stem", "stem_bn"):
        before, after = (each.get_layer(name) for each in (model, result.model))
        assert same([np.asarray(value) for value in before.variables], [np.asarray(value) for value in after.variables])
    assert [layer.trainable for layer in result.model.layers] == [layer.trainable for layer in model.layers]
    assert len(result.plan.groups[1].keep) == 8


def test_the_last_model_within_the_metrics_drop_is_delivered() -> None:
    spec = PruningSpec(criterion="l1_norm", ratio=0.1, include=["expand"], max_metric_drop=0.44, reconstruction=False)
    training = TrainingSpec(epochs=8, fine_tuning_epochs=0, batch_size=16, learning_rate=0.05)
    result = prune(residual(compiled=True), spec, (blobs(), blobs(seed=1)), training=training)
    trained = next(step for step in result.report.steps if step.step == "training")
    assert [step.step for step in result.report.steps][-2:] == ["pruning", "restoring"]
    tried, delivered = result.report.steps[-2:]
    assert tried.iteration == delivered.iteration + 1
    assert trained.metrics["val_accuracy"] - tried.metrics["val_accuracy"] > 0.44
    assert trained.metrics["val_accuracy"] - delivered.metrics["val_accuracy"] <= 0.44
    assert "max_metric_drop 0.44: val_accuracy went from" in result.report.stopped_because
    assert result.model.count_params() == delivered.params == result.plan.params_after


def test_a_fixed_number_of_iterations_is_judged_by_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first iterations cost the last ones win back."""
    accuracies = iter([0.9, 0.5, 0.6, 0.89])
    monkeypatch.setattr(
        "pruning.recovery.fitting.Recovery.evaluate",
        lambda self, model: {"val_loss": 1.0, "val_accuracy": next(accuracies)},
    )
    spec = PruningSpec(criterion="l1_norm", target_params=0.5, num_iterations=3, max_metric_drop=0.02)
    result = prune(residual(compiled=True), spec, blobs(), training=TrainingSpec(fine_tuning_epochs=0))
    assert result.report.stopped_because == "target_params 0.5 is reached"
    assert result.report.after.iteration == 3


def test_the_last_good_iteration_is_delivered_if_the_last_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.9, 0.89, 0.6, 0.7, 0.89])
    monkeypatch.setattr(
        "pruning.recovery.fitting.Recovery.evaluate",
        lambda self, model: {"val_loss": 1.0, "val_accuracy": next(accuracies)},
    )
    spec = PruningSpec(criterion="l1_norm", target_params=0.5, num_iterations=3, max_metric_drop=0.02)
    result = prune(residual(compiled=True), spec, blobs(), training=TrainingSpec(fine_tuning_epochs=0))
    assert [step.step for step in result.report.steps][-1] == "restoring"
    assert result.report.after.iteration == 1
    assert result.report.after.params == result.model.count_params() == result.plan.params_after
    assert "accuracy went from 0.9000 to 0.7000 in iteration 3" in result.report.stopped_because
    assert "target_params 0.5 missed" in result.report.stopped_because


def test_where_each_prune_costs_too_much_the_nearest_candidate_is_delivered_and_said_to_miss() -> None:
    spec = PruningSpec(criterion="l1_norm", ratio=0.99, max_metric_drop=0.01, metric="accuracy", reconstruction=False)
    training = TrainingSpec(epochs=8, fine_tuning_epochs=0, batch_size=16, learning_rate=0.05)
    result = prune(residual(compiled=True), spec, (blobs(), blobs(seed=1)), training=training)
    assert not result.goal_met
    assert "max_metric_drop 0.01 missed: val_accuracy went from" in result.report.stopped_because
    (candidate,) = result.report.candidates
    assert candidate.name == result.report.delivered == "iteration-1"
    assert not candidate.meets_limits
    assert candidate.drop is not None
    assert candidate.drop > 0.01


@pytest.mark.parametrize(("data", "metric", "field"), [(False, None, "max_metric_drop"), (True, "beauty", "metric")])
def test_a_metric_that_is_not_measured_cannot_be_watched(data: bool, metric: str | None, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        prune(
            residual(compiled=True), {"ratio": 0.5, "max_metric_drop": 0.1, "metric": metric}, blobs() if data else None
        )
    assert caught.value.field == f"pruning.{field}"


def test_several_inputs_and_outputs_by_name() -> None:
    left, right = keras.Input((8, 8, 3), name="left"), keras.Input((4,), name="right")
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, name="conv")(left))
    hidden = layers.Concatenate()([hidden, layers.Dense(8, name="dense")(right)])
    model = keras.Model([left, right], [layers.Dense(1, name="value")(hidden), layers.Dense(4, name="kind")(hidden)])
    images, labels = blobs()
    data = {
        "x_train.left": images, "x_train.right": np.ones((96, 4), "float32"),
        "y_train.value": labels[:, None].astype("float32"), "y_train.kind": labels,
    }  # fmt: skip
    training = TrainingSpec.model_validate(
        {"loss": {"value": "mse", "kind": "sparse_categorical_crossentropy"}, "metrics": {"kind": ["accuracy"]}}
    )
    result = prune(model, PruningSpec(ratio=0.5), data, training=training)
    assert "val_kind_accuracy" in result.report.after.metrics
    assert any("logits" in note for note in result.report.notes)


def test_diverging_training_is_an_error_not_a_model() -> None:
    training = TrainingSpec.model_validate({"learning_rate": 1e30, "optimizer": "sgd", "warmup_fraction": 0})
    with pytest.raises(TrainingError, match="NaN or infinite"):
        prune(residual(compiled=True), PruningSpec(ratio=0.5), blobs(), training=training)


def test_mixed_precision_trains_and_delivers_full_precision() -> None:
    result = prune(
        residual(compiled=True),
        PruningSpec(ratio=0.5),
        blobs(),
        training={**SHORT, "mixed_precision": True},
    )
    assert {variable.dtype for variable in result.model.weights} == {"float32"}
    assert {layer.dtype_policy.name for layer in result.model.layers} == {"float32"}


def test_the_same_seed_gives_the_same_model() -> None:
    first, second = (
        prune(residual(compiled=True), PruningSpec(ratio=0.5), blobs(), training=TrainingSpec(fine_tuning_epochs=2))
        for _ in range(2)
    )
    assert same(values(first.model), values(second.model))


def test_a_hopeless_model_is_refused_before_any_training() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    with pytest.raises(NothingToPruneError):
        prune(model, PruningSpec(ratio=0.5), blobs(), training=TrainingSpec(epochs=5))


@pytest.mark.parametrize(("groups", "filters", "width"), [(4, 8, 4), (2, 8, 4), (4, 8, 8), (2, 4, 8)])
def test_conv_groups_that_become_narrow_keep_their_channel_groups(groups: int, filters: int, width: int) -> None:
    """Traced anew, a convolution with one channel left in each conv group would look like a depthwise one."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)), layers.Conv2D(width, 3), layers.Conv2D(filters, 3, groups=groups),
            layers.GlobalAveragePooling2D(), layers.Dense(3),
        ]
    )  # fmt: skip
    randomise(model, seed=3)
    result = prune(model, PruningSpec(ratio=0.5, num_iterations=4))
    again = apply_plan(model, result.plan)
    assert result.model.count_params() == result.report.after.params == again.count_params()
    assert same(values(again), values(result.model))


def test_a_reshape_that_becomes_narrow_keeps_its_channel_groups() -> None:
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(8), layers.Reshape((2, 4)), layers.Flatten(), layers.Dense(3)]
    )
    randomise(model, seed=4)
    result = prune(model, PruningSpec(ratio=0.5, num_iterations=4))
    assert same(values(apply_plan(model, result.plan)), values(result.model))


def test_an_adapted_normalization_is_measured_and_delivered_right(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(50, 3, (200, 6)).astype("float32")
    labels = (images[:, 0] > 50).astype(int)
    normalization = layers.Normalization()
    normalization.adapt(images)
    model = keras.Sequential(
        [keras.Input((6,)), normalization, layers.Dense(16, activation="relu"), layers.Dense(2, activation="softmax")]
    )
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=3, verbose=0)
    result = prune(model, PruningSpec(ratio=0.25), ((images, labels), (images, labels)), training=SHORT)
    expected = model.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"]
    assert result.report.before.metrics["val_accuracy"] == pytest.approx(expected)
    result.model.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    assert loaded.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"] == pytest.approx(
        result.report.after.metrics["val_accuracy"]
    )


def test_the_callers_own_errors_pass_through() -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch is not None:
            raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        prune(residual(compiled=True), PruningSpec(ratio=0.5), blobs(), on_progress=stop)


def test_outputs_in_a_dict_are_named_by_its_keys() -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(inputs))
    model = keras.Model(inputs, {"value": layers.Dense(1, name="q")(hidden), "kind": layers.Dense(4)(hidden)})
    images, labels = blobs()
    data = (images, {"value": labels[:, None].astype("float32"), "kind": labels})
    training = TrainingSpec.model_validate({"loss": {"value": "mse", "kind": "sparse_categorical_crossentropy"}})
    assert "val_loss" in prune(model, PruningSpec(ratio=0.5), data, training=training).report.after.metrics


@pytest.mark.parametrize(
    ("training", "error"),
    [
        ({"loss": "categorical_crossentropy", "metrics": ["MeanIoU"]}, SpecError),
        ({"loss": {"wrong": "mse"}}, SpecError),
        ({"metrics": {"wrong": ["accuracy"]}}, SpecError),
        ({"loss": "Loss"}, SpecError),
        ({"optimizer": "loss_scale_optimizer"}, SpecError),
        ({"loss": "mse"}, DataError),
        ({"loss": "binary_crossentropy"}, DataError),
    ],
)
def test_training_that_cannot_be_is_one_of_our_errors(training: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        prune(residual(), PruningSpec(ratio=0.5), blobs(), training=TrainingSpec.model_validate(training))


def test_a_metric_for_each_class_is_reported_as_their_mean() -> None:
    images, labels = blobs()
    training = TrainingSpec.model_validate({"loss": "categorical_crossentropy", "metrics": ["F1Score"]})
    result = prune(residual(), PruningSpec(ratio=0.5), (images, labels), training=training)
    assert 0 <= result.report.after.metrics["val_f1_score"] <= 1


def _trained(optimizer: Any) -> keras.Model:
    model = residual()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*blobs(), batch_size=32, epochs=1, verbose=0)
    return model


def test_an_optimizer_with_a_state_is_delivered_with_it() -> None:
    model = _trained(keras.optimizers.Adam(0.0123))
    training = TrainingSpec(fine_tuning_epochs=1, batch_size=32, learning_rate=1e-4, validation_split=0.25)
    result = prune(model, PruningSpec(ratio=0.5), blobs(128), training=training)
    assert result.model.optimizer.built
    assert int(result.model.optimizer.iterations) == 3 + 3
    assert float(result.model.optimizer.learning_rate) == pytest.approx(0.0123)
    assert all(np.any(np.asarray(slot) != 0) for slot in result.model.optimizer._velocities)
    assert [slot.shape for slot in result.model.optimizer._velocities] == [
        variable.shape for variable in result.model.trainable_variables
    ]


def test_an_optimizer_that_came_without_a_state_is_delivered_without() -> None:
    result = prune(
        residual(compiled=True),
        PruningSpec(ratio=0.5),
        blobs(),
        training=TrainingSpec(fine_tuning_epochs=1, batch_size=32),
    )
    assert not result.model.optimizer.built


def test_without_data_the_state_is_cut_too() -> None:
    result = prune(_trained(keras.optimizers.SGD(0.01, momentum=0.9)), PruningSpec(criterion="l1_norm", ratio=0.5))
    assert int(result.model.optimizer.iterations) == 3
    assert all(np.any(np.asarray(slot) != 0) for slot in result.model.optimizer.momentums)


def test_an_optimizer_whose_state_cannot_be_cut_is_named() -> None:
    model = _trained(keras.optimizers.Adafactor(0.01, epsilon_1=1e-10))
    result = prune(model, PruningSpec(criterion="random", ratio=0.25, num_iterations=2))
    assert result.report.notes == ("the state of Adafactor is reset after each prune, because it cannot be pruned",)
