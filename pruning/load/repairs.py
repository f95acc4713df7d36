"""What has to change in a config that Keras 2 wrote before Keras 3 reads it as it was meant, one row each.

A repair looks at one object of the config and does nothing where there is nothing to repair. Repairs run from top to
bottom: later ones count on earlier ones.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

from pruning.load.arguments import (
    drop_attention_shapes,
    drop_initializer_dtype,
    drop_unknown_initializers,
    dropping,
    unwrap_axis,
)
from pruning.load.compile_repairs import (
    OPTIMIZERS,
    drop_loss_arguments,
    drop_output_names,
    drop_schedule_name,
    drop_unset_compiling,
    name_metric_class,
    name_optimizer,
    name_reduction,
    rename_rate,
    turn_decay,
)
from pruning.load.entries import Entry, walk
from pruning.load.inputs import drop_input_shape, insert_input, wrap_list
from pruning.load.modules import move_modules, name_inner_modules
from pruning.load.nodes import lower_nodes, reference_by_keyword, rename, unwrap_tensors

_NO_GROUPS = (
    "DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D",
    "SeparableConv2D",
)  # fmt: skip
_RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_RANDOM = (
    "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip", "RandomHeight", "RandomRotation",
    "RandomTranslation", "RandomWidth", "RandomZoom",
)  # fmt: skip


@dataclass(frozen=True)
class Repair:
    """One row of the table.

    Attributes:
        name: Stable name.
        summary: What is done, for the report.
        mend: Changes one object in place; returns whether it did.
    """

    name: str
    summary: str
    mend: Callable[[Entry], bool]


def repaired(config: Entry) -> tuple[Entry, tuple[str, ...]]:
    """Return a config that Keras 3 reads, and a line for the report per kind of repair."""
    config, notes = deepcopy(config), []
    for repair in REPAIRS:
        changed = sum(repair.mend(entry) for entry in list(walk(config)))
        if changed:
            notes.append(f"repaired: {repair.summary} ({changed} place{'s' if changed > 1 else ''})")
    return config, tuple(notes)


REPAIRS = (
    Repair("sequential_list", "a Sequential with a list as config got a name", wrap_list),
    Repair("module", "modules of Keras 2 were renamed", move_modules),
    Repair("inner_module", "layers in wrappers and Attention got their module", name_inner_modules),
    Repair("sequential_input", "a Sequential without InputLayer got one", insert_input),
    Repair("batch_input_shape", "batch_input_shape was dropped from layers that are not inputs", drop_input_shape),
    Repair("batchnorm_axis", "the axis of BatchNormalization was converted from a list", unwrap_axis),
    Repair(
        "groups", "groups was dropped from depthwise, separable and transposed convolutions",
        dropping(_NO_GROUPS, groups=1),
    ),
    Repair(
        "separable_kernel", "kernel_* arguments, unused by SeparableConv, were dropped",
        dropping(
            ("SeparableConv1D", "SeparableConv2D"),
            kernel_initializer=..., kernel_regularizer=..., kernel_constraint=...,
        ),
    ),
    Repair(
        "spatial_dropout", "trainable and noise_shape were dropped from SpatialDropout",
        dropping(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), trainable=..., noise_shape=None),
    ),
    Repair("time_major", "time_major was dropped from recurrent layers", dropping(_RECURRENT, time_major=False)),
    Repair(
        "attention_shapes", "shapes that MultiHeadAttention infers were dropped", drop_attention_shapes,
    ),
    Repair("keyword_tensors", "tensors passed by keyword were renamed", reference_by_keyword),
    Repair("rng_type", "rng_type was dropped from random layers", dropping(_RANDOM, rng_type=...)),
    Repair("initializer_dtype", "dtype was dropped from initializers", drop_initializer_dtype),
    Repair(
        "unknown_initializer", "unknown initializers were replaced by the default, without effect on loaded weights",
        drop_unknown_initializers,
    ),
    Repair("compiling", "empty compile settings were dropped", drop_unset_compiling),
    Repair("optimizer_class", "optimizers were renamed", name_optimizer),
    Repair(
        "optimizer", "arguments that optimizers no longer take were dropped",
        dropping(OPTIMIZERS, is_legacy_optimizer=..., jit_compile=..., schedule_decay=..., epsilon=None),
    ),
    Repair("lr", "lr of optimizers was renamed to learning_rate", rename_rate),
    Repair("decay", "decay of optimizers became a schedule, InverseTimeDecay", turn_decay),
    Repair("schedule_name", "empty names were dropped from schedules", drop_schedule_name),
    Repair("reduction", "reduction auto of losses became sum_over_batch_size", name_reduction),
    Repair("loss_arguments", "fn and axis were dropped from losses that do not take them", drop_loss_arguments),
    Repair("metric_function", "metrics saved as functions became their class", name_metric_class),
    Repair("metric_output", "output names were removed from metric names", drop_output_names),
    Repair("slash", "/ in layer names became _", rename),
    Repair("nested_tensors", "single inputs and outputs of nested models were converted from lists", unwrap_tensors),
    Repair("nested_nodes", "calls of nested models were renumbered", lower_nodes),
)  # fmt: skip
"""All repairs of a config, in the order in which they run."""
