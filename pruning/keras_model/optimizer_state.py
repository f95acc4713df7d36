"""The state of an optimizer, carried to another one of the same kind that trains other variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import keras
import numpy as np

from pruning.keras_model.learning_rate import fresh_optimizer
from pruning.keras_model.weights import read_weights

Values = dict[int, np.ndarray]
"""Id of a variable that is trained → a value of its shape: its own, or that of one of its slots."""
Slots = list[keras.Variable | None]
"""One for each variable that is trained, as far as it has one."""
Pairs = Sequence[tuple[keras.Variable, keras.Variable]]
"""Each variable of a model with the one in its place in another model."""


def has_state(optimizer: object) -> bool:
    """Tell whether an optimizer has taken a step; loading a compiled model builds one that has not.

    Where Keras loads an HDF5 file, it builds one that has taken steps with no variable: there is nothing to go on with.
    """
    if not isinstance(optimizer, keras.Optimizer) or not optimizer.built:
        return False
    return int(optimizer.iterations) > 0 and any(trained_variables(part) for part in _parts(optimizer))


def trained_variables(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Return the variables that a built optimizer trains, in its order."""
    return list(optimizer._trainable_variables)


def slots_of(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Return what a built optimizer keeps for the variables that it trains: of the first kind for all, and so on."""
    return [slot for slots in _families(optimizer).values() for slot in slots if slot is not None]


def build_optimizer(model: keras.Model) -> None:
    """Make the variables of a model's optimizer for the layers that are trainable now, where they are not made yet."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


@contextmanager
def without_state(model: keras.Model) -> Iterator[None]:
    """Let a model have for a while an optimizer like its own that has no state yet."""
    own = model.optimizer if model.compiled else None
    if not isinstance(own, keras.Optimizer) or not own.built:
        yield
        return
    attributes = vars(model)  # What is set here Keras does not track.
    attributes["optimizer"] = fresh_optimizer(own)
    try:
        yield
    finally:
        attributes["optimizer"] = own


def part_from_weights(optimizer: keras.Optimizer) -> None:
    """Give the averages of weights that an optimizer keeps arrays of their own, after a training.

    Keras ends a training by giving the weights those averages, array and all; on JAX, whatever measures the model next
    takes its arrays away, and the averages would go with them.
    """
    for part in _parts(optimizer):
        for average in getattr(part, "_model_variables_moving_average", None) or ():
            average.assign(read_weights(average).copy())


def carry_over(
    source: object, target: keras.Optimizer, pairs: Pairs, change: Callable[[Values], Values] = lambda values: values
) -> bool:
    """Give an optimizer that is not built the state of another one of the same class.

    Carried are the slots of each variable (momenta, moments, averages of the weights, accumulated gradients), found
    as the lists that the optimizer keeps in the order of its variables, and all that it counts, such as steps and
    the loss scale; of these, what both of them keep. The learning rate stays the target's own. An optimizer that has
    taken no step leaves the other one as it is: it has nothing to carry, and would only make files larger.

    Args:
        source: Where the state comes from; not changed.
        target: Built here, for the variables in the place of the source's and in the same order.
        pairs: The variables of the source's model and those in their place.
        change: `values -> values`, from the shapes of the source's variables to those in their place.

    Returns:
        Whether the target now goes on where the source is. Otherwise it starts afresh: the classes differ, it is
        built already, a variable is not among the pairs, or a slot cannot be cut because it has not the shape of its
        variable. That is so with the factored moments of Adafactor, in which the removed channels are averaged.
    """
    if not isinstance(source, keras.Optimizer) or type(source) is not type(target) or target.built:
        return False
    if not has_state(source):
        return True
    counterparts = {id(variable): counterpart for variable, counterpart in pairs}
    variables = trained_variables(source)
    if not all(id(variable) in counterparts for variable in variables):
        return False
    parts = list(_parts(source))
    if len(parts) != len(list(_parts(target))):
        return False
    if not all(_fits(slot, owner, counterparts[id(owner)]) for part in parts for slot, owner in _slots(part)):
        return False
    target.build([counterparts[id(variable)] for variable in variables])
    for part, new_part in zip(parts, _parts(target), strict=True):
        counters, families = _counters(new_part), _families(new_part)
        for name, variable in _counters(part).items():
            if name in counters:
                counters[name].assign(variable)
        for name, slots in _families(part).items():
            if name in families:
                _carry_slots(slots, families[name], trained_variables(part), change)
    return True


def carry_exclusions(source: object, target: keras.Optimizer, pairs: Pairs) -> None:
    """Exclude from weight decay what another optimizer excludes: no config says so.

    Args:
        source: Where the exclusions come from.
        target: An optimizer that is not built.
        pairs: The variables of the source's model and those in their place.
    """
    if not isinstance(source, keras.Optimizer) or type(source) is not type(target):
        return
    for part, new_part in zip(_parts(source), _parts(target), strict=False):
        excluded: set[object] = getattr(part, "_exclude_from_weight_decay", set())
        pattern = getattr(part, "_exclude_from_weight_decay_pattern", None)
        if excluded or pattern is not None:
            new_part.exclude_from_weight_decay(
                [counterpart for variable, counterpart in pairs if part._var_key(variable) in excluded],
                None if pattern is None else [pattern.pattern],
            )


def go_on(
    source: object,
    target: keras.Optimizer,
    variables: Sequence[keras.Variable],
    own: Sequence[keras.Variable],
    *,
    with_state: bool = True,
) -> None:
    """Let an optimizer that is not built go on, with variables of its own, where another one is.

    Args:
        source: Where it goes on.
        target: See `carry_over`.
        variables: Those of the source's model.
        own: Those in their place, in the same order.
        with_state: Whether its state is carried, too, or only what it excludes from weight decay.
    """
    pairs = list(zip(variables, own, strict=True))
    carry_exclusions(source, target, pairs)
    # On JAX evaluating builds the optimizer, for layers that the training may freeze, and then refuses.
    if with_state and has_state(source):
        carry_over(source, target, pairs)


def _carry_slots(
    slots: Slots, new_slots: Slots, owners: list[keras.Variable], change: Callable[[Values], Values]
) -> None:
    like_owner = {
        id(owner): slot for slot, owner in zip(slots, owners, strict=True) if slot is not None and _is_like(slot, owner)
    }
    changed = change({key: read_weights(slot) for key, slot in like_owner.items()})
    for slot, new_slot, owner in zip(slots, new_slots, owners, strict=True):
        if slot is not None and new_slot is not None:
            new_slot.assign(changed.get(id(owner), slot))


def _parts(optimizer: keras.Optimizer) -> Iterator[keras.Optimizer]:
    """Yield an optimizer and those inside it, such as the one whose loss is scaled."""
    yield optimizer
    for value in vars(optimizer).values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, keras.Optimizer):
                yield from _parts(part)


def _counters(part: keras.Optimizer) -> dict[str, keras.Variable]:
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, keras.Variable) and name != "_learning_rate"
    }


def _families(part: keras.Optimizer) -> dict[str, Slots]:
    """Return the lists that hold a slot, or `None`, for each variable that the optimizer trains.

    Such lists, as attributes of any name, are how all optimizers of Keras find the slot of a variable:
    `self._momentums[self._get_variable_index(variable)]`. Nothing else tells whose slot it is. Names do not: a slot of
    `a/b` and one of `a_b` have the same, and Adafactor's are `kernel` and `bias`. Nor does the order of
    `optimizer.variables`, in which some optimizers put the slots of each variable together, and others do not.
    """
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, list)
        and name not in ("_variables", "_trainable_variables")  # these hold all slots, and the variables themselves
        and len(value) == len(trained_variables(part))
        and all(slot is None or isinstance(slot, keras.Variable) for slot in value)
    }


def _slots(part: keras.Optimizer) -> Iterator[tuple[keras.Variable | None, keras.Variable]]:
    for slots in _families(part).values():
        yield from zip(slots, trained_variables(part), strict=True)


def _is_like(slot: keras.Variable | None, owner: keras.Variable) -> bool:
    return slot is not None and tuple(slot.shape) == tuple(owner.shape)


def _fits(slot: keras.Variable | None, owner: keras.Variable, counterpart: keras.Variable) -> bool:
    """Tell whether a slot can be carried: as its variable is, or as it is."""
    return slot is None or _is_like(slot, owner) or tuple(counterpart.shape) == tuple(owner.shape)
