"""Which changes to images a trained model does not mind, and so may be trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pruning.errors import SpecError
from pruning.selection.drop import WatchedMetric
from pruning.spec import Augmentation

FEWEST_SAMPLES = 256
_KNOWS, _MINDS = 0.3, 0.05

Figures = dict[str, float]


def harmless(
    wishes: Sequence[Augmentation], watched: WatchedMetric, measure: Callable[[Augmentation | None], Figures]
) -> Augmentation:
    """Return all changes together that cost a model next to nothing of what it knows.

    What it knows is the difference of the metric to that with targets in another order. A change may cost a twentieth
    of it: a flip costs a classifier of animals nothing, and one of digits nearly everything. A model that knows little
    is not asked.

    Args:
        wishes: Changes, each by itself.
        watched: The metric.
        measure: Returns the figures of the model on the validation set with a change, or for `None` with its targets in
            another order; it may raise `SpecError` for a change that does not suit the data.
    """
    plain, shuffled = measure(Augmentation()), measure(None)
    known = watched.drop(plain, shuffled).value
    if not known > _KNOWS * max(abs(plain[watched.name]), abs(shuffled[watched.name])):
        return Augmentation()
    chosen = Augmentation()
    for wish in wishes:
        try:
            cost = watched.drop(plain, measure(wish)).value
        except SpecError:
            continue
        if cost <= _MINDS * known:
            chosen = chosen.model_copy(update={name: getattr(wish, name) for name in wish.model_fields_set})
    return chosen
