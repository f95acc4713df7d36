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
    Repair("sequential_list", "a Sequential whose config is a bare list got a name", wrap_list),
    Repair("module", "modules of Keras 2 are named as today", move_modules),
    Repair("inner_module", "layers inside wrappers, and Attention, got their module", name_inner_modules),
    Repair("sequential_input", "a Sequential without InputLayer got one", insert_input),
    Repair("batch_input_shape", "batch_input_shape was dropped from layers that are no input", drop_input_shape),
    Repair("batchnorm_axis", "BatchNormalization's axis was taken out of its list", unwrap_axis),
    Repair(
        "groups", "groups was dropped from depthwise, separable and transposed convolutions",
        dropping(_NO_GROUPS, groups=1),
    ),
    Repair(
        "separable_kernel", "kernel_* arguments, which SeparableConv never uses, were dropped",
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
        "attention_shapes", "shapes that MultiHeadAttention finds itself were dropped", drop_attention_shapes,
    ),
    Repair("keyword_tensors", "tensors given by keyword are named as today", reference_by_keyword),
    Repair("rng_type", "rng_type was dropped from random layers", dropping(_RANDOM, rng_type=...)),
    Repair("initializer_dtype", "dtype was dropped from initializers", drop_initializer_dtype),
    Repair(
        "unknown_initializer", "unknown initializers were replaced by the default; weights are loaded, none is drawn",
        drop_unknown_initializers,
    ),
    Repair("compiling", "compile settings that are not set were dropped", drop_unset_compiling),
    Repair("optimizer_class", "optimizers are named as today", name_optimizer),
    Repair(
        "optimizer", "arguments that optimizers no longer have were dropped",
        dropping(OPTIMIZERS, is_legacy_optimizer=..., jit_compile=..., schedule_decay=..., epsilon=None),
    ),
    Repair("lr", "lr of optimizers is named learning_rate", rename_rate),
    Repair("decay", "decay of optimizers became a schedule, InverseTimeDecay", turn_decay),
    Repair("schedule_name", "names that are not set were dropped from schedules", drop_schedule_name),
    Repair("reduction", "reduction auto of losses is named sum_over_batch_size", name_reduction),
    Repair("loss_arguments", "fn and axis were dropped from losses that do not take them", drop_loss_arguments),
    Repair("metric_function", "metrics saved as functions got their class", name_metric_class),
    Repair("metric_output", "names of outputs were taken off the names of their metrics", drop_output_names),
    Repair("slash", "/ in layer names became _", rename),
    Repair("nested_tensors", "single inputs and outputs of nested models left their list", unwrap_tensors),
    Repair("nested_nodes", "calls of nested models are counted as today", lower_nodes),
)  # fmt: skip
"""All repairs of a config, in the order in which they run."""
