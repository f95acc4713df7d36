"""A teacher draws a pruned model towards its outputs and features, and is not changed by it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from pruning import PruningSpec, TrainingSpec, apply_plan, make_plan, prune
from pruning.datasets.data import Data
from pruning.errors import SpecError
from pruning.recovery.distillation import SoftLoss, Teaching
from pruning.recovery.fitting import Recovery
from pruning.recovery.objective import Aims, Objective, check_objective, with_objective
from pruning.recovery.phase import TrainingPhase
from pruning.spec import Distillation
from pruning.surgery.rebuild import copy_model
from pruning.training.compiling import Compiling
from tests.pruning.models import blobs, residual, same, values
from tests.strategies import randomise

LOSSES = {"softmax": "sparse_categorical_crossentropy", "sigmoid": "binary_crossentropy", "linear": "mse"}
ENTRIES = {"softmax": "categorical_crossentropy", "sigmoid": "binary_crossentropy", "linear": "mse"}


def network(activation: str = "softmax", **head: Any) -> keras.Model:
    """Two convolutions without statistics: it computes in training what it computes in inference."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, activation="relu", name="first")(inputs)
    x = layers.Conv2D(5, 3, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(4, activation=activation, name="head", **head)(x))
    randomise(model, seed=1)
    return model


def teaching(student: keras.Model, teacher: keras.Model, wish: Distillation, loss: Any, y: np.ndarray) -> Teaching:
    spec = TrainingSpec(loss=loss)
    return Teaching.of(student, teacher, wish, Compiling(student, spec, Data.of((blobs(8)[0], y))))


@pytest.mark.parametrize("activation", LOSSES)
def test_nothing_is_to_be_learnt_from_oneself(activation: str) -> None:
    images, labels = blobs(16)
    wish = Distillation(weight=1, features=1)
    y = labels if activation == "softmax" else np.eye(4, dtype="float32")[labels]
    student = network(activation)
    own = teaching(student, copy_model(student), wish, LOSSES[activation], y[:8])
    assert own.tapped is not None
    objective = Objective(student, own)
    objective.compile(keras.optimizers.SGD(1.0), LOSSES[activation])
    before = [each.copy() for each in values(student)]
    assert objective.train_on_batch(images, y) == pytest.approx(0, abs=1e-5)
    for first, second in zip(before, values(student), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    assert objective.test_on_batch(images, y) > 0.1, "measured is the loss for the labels"


def test_a_teacher_drops_nothing_out() -> None:
    """It has the student's weights, and a Dropout that the student has not."""
    student = network()
    graph = [each.output for each in student.layers]
    dropped = student.get_layer("head")(layers.Dropout(0.5, seed=1)(graph[-2]))
    images, labels = blobs(16)
    teacher = copy_model(keras.Model(student.inputs, dropped))
    own = teaching(student, teacher, Distillation(weight=1), LOSSES["softmax"], labels[:8])
    before = values(teacher)
    objective = Objective(student, own)
    objective.compile(keras.optimizers.SGD(0.0), LOSSES["softmax"])
    assert objective.train_on_batch(images, labels) == pytest.approx(0, abs=1e-5)
    assert same(before, values(teacher))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("activation", ENTRIES)
def test_distances_are_those_by_hand(activation: str, temperature: float) -> None:
    generator = np.random.default_rng(0)
    told, own = generator.normal(size=(2, 5, 4)).astype("float32")
    symbol = network(activation).outputs[0]
    plain = SoftLoss.of(ENTRIES[activation], symbol, temperature)
    if activation == "linear":
        assert float(plain(told, own)) == pytest.approx(np.mean((told - own) ** 2), rel=1e-5)
        return
    squash = {
        "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    }
    make = squash[activation]
    p, q = make(told / temperature), make(own / temperature)
    divergence = p * np.log(p / q)
    expected = divergence.sum(-1)
    if activation == "sigmoid":
        expected = (divergence + (1 - p) * np.log((1 - p) / (1 - q))).mean(-1)
    assert float(plain(make(told), make(own))) == pytest.approx(temperature**2 * expected.mean(), rel=1e-3)
    kind = keras.losses.CategoricalCrossentropy if activation == "softmax" else keras.losses.BinaryCrossentropy
    of_logits = SoftLoss.of(kind(from_logits=True), symbol, temperature)
    assert float(of_logits(told, own)) == pytest.approx(temperature**2 * expected.mean(), rel=1e-4)
    weights = np.array([0, 0, 3, 0, 0], "float32")
    assert float(of_logits(told, own, weights)) == pytest.approx(temperature**2 * 3 * expected[2] / 5, rel=1e-4)


def fine_tuned(wish: Distillation | None, **training: Any) -> tuple[keras.Model, keras.Model, dict[str, list[float]]]:
    """Return a teacher, what was pruned from it and trained on shuffled labels, and the history."""
    images, labels = blobs(64)
    teacher = residual(compiled=True)
    student = apply_plan(teacher, make_plan(teacher, PruningSpec(ratio=0.5)))
    spec = TrainingSpec(batch_size=16, learning_rate=0.05, distillation=wish, **training)
    data = Data.of(((images, np.random.default_rng(5).permutation(labels)), blobs(16, seed=1))).fit_to(student)
    recovery = Recovery(spec, Compiling(student, spec, data), data)
    recovery.evaluate(student)
    recovery.aims = Aims(teacher)
    history = recovery.train(student, TrainingPhase("training", 4, 0), lambda epoch, share, logs: None).history
    return teacher, student, history


@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_student_comes_nearer_to_its_teacher(is_mixed: bool) -> None:
    images = blobs(64, seed=3)[0]
    apart = []
    for wish in (None, Distillation(weight=1)):
        teacher, student, _ = fine_tuned(wish, mixed_precision=is_mixed)
        told, own = (np.asarray(model.predict(images, verbose=0)) for model in (teacher, student))
        apart.append(float(np.mean(np.sum(told * np.log((told + 1e-7) / (own + 1e-7)), axis=1))))
        assert same(values(teacher), values(residual()))
        assert type(student).__module__.startswith("keras.")
    assert apart[1] < 0.7 * apart[0]


def test_without_options_the_model_itself_is_trained() -> None:
    model = network()
    spec = TrainingSpec(loss=LOSSES["softmax"])
    compiling = Compiling(model, spec, Data.of(blobs(8)))
    assert with_objective(model, spec, compiling, Aims(copy_model(model), ("first",))) is model


def test_without_a_share_nothing_changes() -> None:
    plain, nothing = fine_tuned(None)[1], fine_tuned(Distillation(weight=0))[1]
    for first, second in zip(values(plain), values(nothing), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_features_are_compared_where_shapes_are_the_same() -> None:
    teacher = residual(compiled=True)
    student = apply_plan(teacher, make_plan(teacher, PruningSpec(ratio=0.5, exclude=["expand"])))
    own = teaching(student, teacher, Distillation(features=1), None, blobs(8)[1])
    assert own.tapped is not None
    images = blobs(8)[0]
    _, features = own.tapped(images, training=False)
    made = keras.Model(student.inputs, [student.get_layer(name).output for name in ("expand", "expand_bn")])
    assert len(features) == 2
    for expected, found in zip(made(images, training=False), features, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(expected), keras.ops.convert_to_numpy(found), rtol=1e-5)
    told = own.told(images, training=False)[1]
    expected = np.mean(
        [np.mean(np.square(np.subtract(t, s))) / np.mean(np.square(t)) for t, s in zip(told, features, strict=True)]
    )
    y_pred = student(images, training=False)
    weight = {
        True: own.loss(1.0, 0.0, images, y_pred, None, features),
        False: own.loss(1.0, 0.0, images, y_pred, None, ()),
    }
    assert float(weight[True]) - float(weight[False]) == pytest.approx(expected, rel=1e-3)


def test_features_draw_to_the_teachers() -> None:
    images, labels = blobs(64)
    apart = []
    for features in (0.0, 10.0):
        training = {
            "distillation": {"weight": 0, "features": features},
            "fine_tuning_epochs": 6,
            "batch_size": 16,
            "optimizer": "adam",
            "learning_rate": 0.01,
        }
        wish = PruningSpec(ratio=0.5, exclude=["expand"], reconstruction=False)
        result = prune(residual(compiled=True), wish, (images, labels), training=training)
        told, own = (
            np.asarray(keras.Model(model.inputs, model.get_layer("expand").output).predict(images, verbose=0))
            for model in (residual(), result.model)
        )
        apart.append(float(np.mean(np.square(told - own))))
    assert apart[1] < 0.85 * apart[0]


def test_the_report_tells_if_there_are_no_features() -> None:
    training = {"distillation": {"features": 1}, "batch_size": 16}
    result = prune(residual(compiled=True), PruningSpec(ratio=0.5), blobs(64), training=training)
    assert any("no features are compared" in note for note in result.report.notes)


def test_a_teacher_is_asked_after_the_first_prune_only() -> None:
    results = [
        prune(
            residual(compiled=True), PruningSpec(ratio=0.5), blobs(64),
            training={"epochs": 1, "post_training_epochs": 1, "batch_size": 16, "distillation": wish},
        )
        for wish in (None, {"weight": 1})
    ]  # fmt: skip
    plain, taught = (result.history for result in results)
    assert plain["training"] == taught["training"]
    assert plain["fine-tuning 1"]["loss"] != taught["fine-tuning 1"]["loss"]
    assert plain["post-training"]["loss"] != taught["post-training"]["loss"]


def test_regularization_counts_in_full() -> None:
    images, labels = blobs(16)
    student = network(kernel_regularizer=keras.regularizers.L2(0.1))
    objective = Objective(
        student, teaching(student, copy_model(student), Distillation(weight=1), LOSSES["softmax"], labels[:8])
    )
    objective.compile("sgd", LOSSES["softmax"])
    kernel = np.array(student.get_layer("head").get_weights()[0])
    assert objective.train_on_batch(images, labels) == pytest.approx(0.1 * np.sum(kernel**2), rel=1e-4)


def test_the_step_is_traced_as_often_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bool] = []
    compute = keras.Model._compute_loss

    def counted(model: Any, *arguments: Any, training: bool = True, **named: Any) -> Any:
        calls.append(training)
        return compute(model, *arguments, training=training, **named)

    monkeypatch.setattr(keras.Model, "_compute_loss", counted)
    counts = []
    for wish, ema in ((None, None), (Distillation(features=1), 0.9)):
        fine_tuned(wish, ema=ema)
        counts.append(sum(calls))
        calls.clear()
    assert counts[0] == counts[1] > 0


def shapes() -> dict[str, keras.Model]:
    inputs = keras.Input((6,), name="a")
    nested = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="nested")
    x = nested(layers.Dense(4, name="z")(inputs))
    shared = layers.Dense(4, name="shared")
    named = {"one": layers.Dense(2, name="one")(shared(x)), "two": layers.Dense(3, name="two")(shared(shared(x)))}
    return {
        "sequential": keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.Dropout(0.5), layers.Dense(2)]),
        "named": keras.Model({"a": inputs}, named),
        "list": keras.Model([inputs], [named["two"]]),
    }


@pytest.mark.parametrize("kind", ["sequential", "named", "list"])
def test_models_of_every_form_can_learn(kind: str) -> None:
    model = shapes()[kind]
    objective = Objective(model)
    assert [id(each) for each in objective.variables] == [id(each) for each in model.variables]
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    y = {"one": x[:, :2], "two": x[:, :3]} if kind == "named" else x[:, : model.outputs[0].shape[-1]]
    training = {"distillation": {"features": 1}, "loss": "mse", "batch_size": 8, "ema": 0.9}
    data = {"x_train": {"a": x}, "y_train": y} if kind == "named" else (x, y)
    result = prune(model, PruningSpec(ratio=0.5), data, training=training)
    assert type(result.model) is type(copy_model(model))


def test_a_step_of_ones_own_is_refused() -> None:
    class Own(keras.Model):
        def train_step(self, *arguments: Any) -> Any:
            return super().train_step(*arguments)

    made = residual()
    with pytest.raises(SpecError, match="of its own") as caught:
        check_objective(Own(made.inputs, made.outputs), TrainingSpec(ema=0.9), has_data=True)
    assert caught.value.field == "training.ema"


def test_no_epoch_after_a_prune_is_refused() -> None:
    with pytest.raises(SpecError, match="epochs after a prune") as caught:
        prune(residual(), {"ratio": 0.5}, training={"fine_tuning_epochs": 0, "distillation": {}})
    assert caught.value.field == "training.fine_tuning_epochs"
