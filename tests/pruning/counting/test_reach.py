"""How much of a model pruning can reach, and why not the rest."""

from __future__ import annotations

import keras
from keras import layers

from pruning.counting.reach import reach
from pruning.graph.groups import ChannelGraph


def test_a_kernel_counts_if_it_reads_or_makes_channels_that_can_go() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.Conv2D(2, 1, name="head")])
    result = reach(ChannelGraph(model))
    assert (result.num_params, result.num_prunable, result.share) == (3 * 3 * 3 * 4 + 4 * 2, 3 * 3 * 3 * 4 + 4 * 2, 1.0)
    assert result.reasons == {}


def test_the_rest_is_named_with_its_reason() -> None:
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Lambda(lambda x: x)(layers.Dense(4, name="wide")(inputs))
    result = reach(ChannelGraph(keras.Model(inputs, layers.Dense(2, name="head")(hidden))))
    assert (result.num_prunable, result.share) == (0, 0.0)
    assert list(result.reasons) == ["wide", "head"]
    assert "no rule for" in result.reasons["wide"]


def test_a_wrapped_kernel_counts_once_as_its_own_layers() -> None:
    wrapped = layers.TimeDistributed(layers.Dense(4, name="inner"))
    model = keras.Sequential([keras.Input((5, 3)), wrapped, layers.Dense(2, name="head")])
    result = reach(ChannelGraph(model))
    assert (result.num_params, result.share, result.reasons) == (3 * 4 + 4 * 2, 1.0, {})
