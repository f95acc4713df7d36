"""Hypothesis strategies: small random functional models and random plans for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers, ops
from keras.src.applications.convnext import LayerScale

from pruning.graph.groups import ChannelGraph
from pruning.plan import PruningPlan
from pruning.selection.planning import describe
from pruning.spec import PruningSpec

Draw = Callable[[st.SearchStrategy[Any]], Any]

SIZE = 6
WIDTHS = st.integers(1, 5)
ACTIVATIONS = st.sampled_from([None, "relu", "sigmoid", "tanh"])


def randomise(model: keras.Model, seed: int) -> None:
    """Give every weight a random value: the usual zeros and ones would hide wrong slices."""
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            low = 0.5 if "variance" in variable.name else -1.0
            variable.assign(generator.uniform(low, 1.0, variable.shape))
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # It computes with copies of its variables.


@st.composite
def models(draw: Draw) -> keras.Model:
    """Small models with branches, concats, adds, every kind of convolution, nesting, sharing and several outputs."""
    keras.backend.clear_session(free_memory=False)
    builder = _Builder(draw)
    for _ in range(draw(st.integers(2, 7))):
        builder.grow()
    model = builder.finish()
    randomise(model, draw(st.integers(0, 2**16)))
    return model


@st.composite
def plans(draw: Draw, model: keras.Model) -> PruningPlan:
    """A plan that keeps a random, non-empty part of each channel group."""
    graph = ChannelGraph(model)
    keep = {}
    for group in graph.groups:
        wanted = draw(st.lists(st.booleans(), min_size=group.num_channels, max_size=group.num_channels))
        wanted[draw(st.integers(0, group.num_channels - 1))] = True
        keep[group.name] = np.flatnonzero(wanted)
    return describe(graph, keep, PruningSpec(criterion="random", ratio=0.5))


class _Builder:
    """Grows a graph step by step from the tensors made so far."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._inputs = [
            keras.Input((SIZE, SIZE, draw(st.integers(1, 3))), name=f"in{i}") for i in range(draw(st.integers(1, 2)))
        ]
        self._images = [layers.Conv2D(draw(WIDTHS), 3, padding="same")(tensor) for tensor in self._inputs]
        self._vectors: list[Any] = []
        self._shared: list[Any] = []

    def grow(self) -> None:
        """Add one random step."""
        steps = [
            self._convolve, self._depthwise, self._separable, self._grouped, self._transpose, self._normalise,
            self._activate, self._pool, self._pad, self._merge, self._concatenate, self._squeeze_excite, self._nest,
            self._share, self._shuffle, self._flatten, self._global_pool, self._dense, self._unflatten,
            self._permute, self._lock, self._normalise_across, self._by_channel, self._reduce, self._excite,
            self._split, self._slice, self._shuffle_by_operations, self._move, self._repeat, self._stack,
            self._contract, self._attend, self._attend_by_layer, self._recur, self._wrap,
        ]  # fmt: skip
        self._draw(st.sampled_from(steps))()

    def finish(self) -> keras.Model:
        """Close the graph with one to three outputs."""
        ends = [layers.GlobalAveragePooling2D()(image) for image in self._images[-2:]] + self._vectors[-2:]
        outputs = [layers.Dense(2, name=f"out{i}")(end) for i, end in enumerate(ends)]
        if self._draw(st.booleans()):
            outputs.append(self._images[-1])
        return keras.Model(self._inputs, outputs)

    def _image(self) -> Any:
        return self._draw(st.sampled_from(self._images))

    def _vector(self) -> Any:
        if not self._vectors:
            self._global_pool()
        return self._draw(st.sampled_from(self._vectors))

    def _add(self, layer: Any, tensor: Any = None) -> None:
        made = layer(self._image() if tensor is None else tensor)
        if None not in made.shape[1:]:  # Keras cannot always say the shape of a LayerScale's output.
            self._images.append(made)

    def _convolve(self) -> None:
        kernel, bias = self._draw(st.sampled_from([1, 3])), self._draw(st.booleans())
        self._add(
            layers.Conv2D(self._draw(WIDTHS), kernel, padding="same", use_bias=bias, activation=self._draw(ACTIVATIONS))
        )

    def _depthwise(self) -> None:
        self._add(layers.DepthwiseConv2D(3, depth_multiplier=self._draw(st.integers(1, 2)), padding="same"))

    def _separable(self) -> None:
        multiplier = self._draw(st.integers(1, 2))
        self._add(layers.SeparableConv2D(self._draw(WIDTHS), 3, depth_multiplier=multiplier, padding="same"))

    def _grouped(self) -> None:
        image = self._image()
        divisors = [n for n in range(1, image.shape[-1] + 1) if image.shape[-1] % n == 0]
        groups = self._draw(st.sampled_from(divisors))
        self._add(layers.Conv2D(groups * self._draw(st.integers(1, 3)), 3, padding="same", groups=groups), image)

    def _transpose(self) -> None:
        self._add(layers.Conv2DTranspose(self._draw(WIDTHS), 3, padding="same"))

    def _normalise(self) -> None:
        self._add(layers.BatchNormalization(scale=self._draw(st.booleans()), center=self._draw(st.booleans())))

    def _activate(self) -> None:
        activations = [
            layers.ReLU(6.0), layers.LeakyReLU(), layers.PReLU(), layers.PReLU(shared_axes=[1, 2]),
            layers.Activation("sigmoid"), layers.Softmax(axis=1), layers.Dropout(0.3),
        ]  # fmt: skip
        self._add(self._draw(st.sampled_from(activations)))

    def _pool(self) -> None:
        pool = self._draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
        self._add(pool(3, strides=1, padding="same"))

    def _pad(self) -> None:
        self._images.append(layers.Cropping2D(1)(layers.ZeroPadding2D(1)(self._image())))

    def _merge(self) -> None:
        kind = self._draw(
            st.sampled_from(
                [layers.Add, layers.Multiply, layers.Subtract, layers.Average, layers.Maximum, layers.Minimum]
            )
        )
        first = self._image()
        alike = [image for image in self._images if image.shape[-1] in (first.shape[-1], 1)]
        self._images.append(kind()([first, self._draw(st.sampled_from(alike))]))

    def _concatenate(self) -> None:
        self._images.append(layers.Concatenate()([self._image(), self._image()]))

    def _squeeze_excite(self) -> None:
        image = self._image()
        width = image.shape[-1]
        scale = layers.GlobalAveragePooling2D(keepdims=self._draw(st.booleans()))(image)
        scale = layers.Dense(self._draw(WIDTHS), activation="relu")(scale)
        scale = layers.Reshape((1, 1, width))(layers.Dense(width, activation="sigmoid")(scale))
        self._images.append(layers.Multiply()([image, scale]))

    def _nest(self) -> None:
        image = self._image()
        inner = keras.Input(image.shape[1:])
        hidden = layers.BatchNormalization()(layers.Conv2D(self._draw(WIDTHS), 3, padding="same")(inner))
        outputs = [hidden, layers.Conv2D(self._draw(WIDTHS), 1)(hidden)][: self._draw(st.integers(1, 2))]
        made = keras.Model(inner, outputs if len(outputs) > 1 else outputs[0])(image)
        self._images.extend(keras.tree.flatten(made))

    def _share(self) -> None:
        image = self._image()
        alike = [other for other in self._images if other.shape == image.shape]
        layer = keras.Sequential([keras.Input(image.shape[1:]), layers.Conv2D(self._draw(WIDTHS), 3, padding="same")])
        self._images.extend([layer(image), layer(self._draw(st.sampled_from(alike)))])

    def _shuffle(self) -> None:
        image = self._image()
        divisors = [n for n in range(1, image.shape[-1] + 1) if image.shape[-1] % n == 0]
        groups = self._draw(st.sampled_from(divisors))
        split = layers.Reshape((SIZE, SIZE, groups, image.shape[-1] // groups))(image)
        self._images.append(layers.Reshape((SIZE, SIZE, -1))(layers.Permute((1, 2, 4, 3))(split)))

    def _flatten(self) -> None:
        self._vectors.append(layers.Dense(self._draw(WIDTHS))(layers.Flatten()(self._image())))

    def _global_pool(self) -> None:
        pool = self._draw(st.sampled_from([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]))
        self._vectors.append(pool()(self._image()))

    def _dense(self) -> None:
        self._vectors.append(layers.Dense(self._draw(WIDTHS), activation=self._draw(ACTIVATIONS))(self._vector()))

    def _unflatten(self) -> None:
        width = self._draw(st.integers(1, 2))
        made = layers.Dense(SIZE * SIZE * width)(self._vector())
        self._images.append(layers.Reshape((SIZE, SIZE, width))(made))

    def _permute(self) -> None:
        self._images.append(layers.Permute((2, 1, 3))(self._image()))

    def _lock(self) -> None:
        self._add(layers.Dense(self._draw(WIDTHS), activation="softmax"))

    def _divisor(self, number: int) -> int:
        return int(self._draw(st.sampled_from([n for n in range(1, number + 1) if number % n == 0])))

    def _normalise_across(self) -> None:
        image = self._image()
        kinds: list[Callable[[], Any]] = [
            layers.LayerNormalization, lambda: layers.LayerNormalization(axis=[1, 2, 3]), layers.RMSNormalization,
            lambda: layers.GroupNormalization(self._divisor(image.shape[-1])), layers.UnitNormalization, layers.Softmax,
            lambda: layers.Activation("softmax"),
        ]  # fmt: skip
        self._add(self._draw(st.sampled_from(kinds))(), image)

    def _by_channel(self) -> None:
        image = self._image()
        numbers = np.linspace(0.5, 1.5, image.shape[-1], dtype="float32")
        steps: list[Callable[[Any], Any]] = [
            lambda x: x * numbers, lambda x: ops.maximum(numbers, x), lambda x: ops.where(x > 0, x, numbers),
            layers.Rescaling(numbers.tolist(), offset=numbers), LayerScale(0.5, image.shape[-1]),
            layers.Normalization(mean=numbers, variance=numbers),
        ]  # fmt: skip
        self._add(self._draw(st.sampled_from(steps)), image)

    def _reduce(self) -> None:
        image = self._image()
        kinds = st.sampled_from([ops.mean, ops.max, ops.min, ops.sum, ops.var, ops.std, ops.logsumexp, ops.norm])
        # Keras 3.15 on JAX runs no norm along an axis that is no tuple.
        values = [self._draw(kinds)(image, axis=(-1,), keepdims=True) for _ in range(2)]
        values[1] = values[1] * 0.1
        gate = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(ops.concatenate(values, axis=-1))
        self._images.append(ops.multiply(image, gate))

    def _excite(self) -> None:
        image = self._image()
        kind = self._draw(st.sampled_from([ops.mean, ops.max, ops.sum]))
        scale = kind(image, axis=[1, 2])
        self._images.append(image * ops.sigmoid(scale)[:, None, None])

    def _split(self) -> None:
        image = self._image()
        channels = image.shape[-1]
        if channels == 1:
            return
        sections = [[self._draw(st.integers(1, channels - 1))], self._divisor(channels)]
        parts = ops.split(image, self._draw(st.sampled_from(sections)), axis=-1)
        if self._draw(st.booleans()):
            self._images.append(ops.concatenate(parts[::-1], axis=-1))
        else:
            self._images.extend(parts)

    def _slice(self) -> None:
        image = self._image()
        start = self._draw(st.integers(0, image.shape[-1] - 1))
        keys: list[Any] = [(..., slice(start, None)), (..., slice(None, start + 1)), (..., slice(None, None, -1))]
        keys += [(..., slice(start, start + 1)), (..., slice(None, None, 2)), (slice(None), slice(None, None, -1))]
        self._images.append(image[self._draw(st.sampled_from(keys))])

    def _shuffle_by_operations(self) -> None:
        image = self._image()
        groups = self._divisor(image.shape[-1])
        split = ops.reshape(image, (-1, SIZE, SIZE, groups, image.shape[-1] // groups))
        order = self._draw(st.sampled_from([(0, 1, 2, 4, 3), (0, 2, 1, 3, 4)]))
        self._images.append(ops.reshape(ops.transpose(split, order), (-1, *image.shape[1:])))

    def _move(self) -> None:
        image = self._image()
        places = self._draw(st.permutations(range(image.shape[-1])))
        steps: list[Callable[[Any], Any]] = [
            lambda x: ops.take(x, places, axis=-1), lambda x: ops.flip(x, axis=[1, 3]),
            lambda x: ops.moveaxis(ops.swapaxes(x, 1, 3) + 1, 1, -1), lambda x: ops.roll(x, 2, axis=2),
            lambda x: ops.squeeze(ops.expand_dims(x, 3), 3),
        ]  # fmt: skip
        self._add(self._draw(st.sampled_from(steps)), image)

    def _repeat(self) -> None:
        image = self._image()
        steps: list[Callable[[Any], Any]] = [
            lambda x: ops.tile(x, (1, 1, 1, 2)), lambda x: ops.repeat(x, 2, axis=-1),
            lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1))), lambda x: ops.glu(ops.tile(x, (1, 1, 1, 2))),
        ]  # fmt: skip
        if image.shape[-1] <= 6:
            self._add(self._draw(st.sampled_from(steps)), image)

    def _stack(self) -> None:
        image = self._image()
        alike = [other for other in self._images if other.shape == image.shape]
        axis = self._draw(st.sampled_from([1, 3, 4]))
        self._images.append(ops.max(ops.stack([image, self._draw(st.sampled_from(alike))], axis=axis), axis=axis))

    def _contract(self) -> None:
        image = self._image()
        matrix = np.random.default_rng(0).uniform(-1, 1, (image.shape[-1], self._draw(WIDTHS))).astype("float32")
        steps: list[Callable[[Any], Any]] = [
            lambda x: ops.matmul(x, matrix), lambda x: ops.einsum("...c,cd->...d", x, matrix),
            lambda x: ops.einsum("bhwc,bhwc->bhw", x, x)[..., None] * 0.1,
        ]  # fmt: skip
        self._add(self._draw(st.sampled_from(steps)), image)

    def _sequence(self) -> Any:
        image = layers.AveragePooling2D(3)(self._image())
        return layers.Reshape((4, image.shape[-1]))(image)

    def _attend(self) -> None:
        values = self._sequence()
        width = self._draw(WIDTHS)
        queries, keys = layers.Dense(width)(values), layers.Dense(width)(values)
        if self._draw(st.booleans()):
            scores = ops.softmax(ops.matmul(queries, ops.transpose(keys, (0, 2, 1))) * 0.1)
            attended = ops.matmul(scores, values)
        else:
            scores = layers.Softmax()(layers.Dot(axes=(2, 2), normalize=True)([queries, keys]))
            attended = ops.einsum("bqk,bkc->bqc", scores, values)
        grown = layers.Reshape((2, 2, values.shape[-1]))(attended)
        self._images.append(layers.UpSampling2D(3)(grown))

    def _attend_by_layer(self) -> None:
        sequence = self._sequence()
        heads, width = self._draw(st.integers(1, 2)), self._draw(st.integers(1, 3))
        # Keras 3.15 on JAX runs no attention whose values have another width than its keys.
        values = st.just(width) if keras.backend.backend() == "jax" else WIDTHS
        kinds: list[Callable[[], Any]] = [
            lambda: layers.MultiHeadAttention(heads, width, value_dim=self._draw(values))(sequence, sequence),
            lambda: layers.GroupQueryAttention(width, 2, self._draw(st.integers(1, 2)))(sequence, sequence),
            lambda: layers.Attention()([sequence, layers.Dense(sequence.shape[-1])(sequence)]),
            lambda: layers.EinsumDense("btc,cd->btd", (4, self._draw(WIDTHS)), bias_axes="d")(sequence),
        ]  # fmt: skip
        self._vectors.append(layers.GlobalAveragePooling1D()(self._draw(st.sampled_from(kinds))()))

    def _recur(self) -> None:
        kind = self._draw(st.sampled_from([layers.LSTM, layers.GRU, layers.SimpleRNN]))
        layer = kind(self._draw(WIDTHS))
        self._vectors.append((layers.Bidirectional(layer) if self._draw(st.booleans()) else layer)(self._sequence()))

    def _wrap(self) -> None:
        held = self._draw(st.sampled_from([layers.Dense, lambda width: layers.Conv1D(width, 3, padding="same")]))
        self._add(layers.TimeDistributed(held(self._draw(WIDTHS))))
