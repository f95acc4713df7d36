"""The models of a run: each is what a plan leaves of the original, with variables of its own."""

from __future__ import annotations

import keras

from pruning.graph.groups import ChannelGraph
from pruning.plan import PruningPlan
from pruning.recovery.snapshot import Snapshot
from pruning.run.setting import Setting
from pruning.run.shelf import Shelf
from pruning.run.state import RunState
from pruning.run.trial import BASE
from pruning.selection.planning import describe
from pruning.spec import PruningSpec
from pruning.surgery.cutting import kept_channels, prune_channels
from pruning.surgery.initial_weights import draw_weights


class Models:
    """Builds the models of a run and keeps their variables.

    Args:
        setting: The run's.
        shelf: Where the variables are kept.
    """

    def __init__(self, setting: Setting, shelf: Shelf) -> None:
        self._setting = setting
        self._shelf = shelf
        self._teacher: keras.Model | None = None

    def whole(self, spec: PruningSpec | None = None) -> PruningPlan:
        """Return the plan that takes nothing, by the criterion of a spec: that of the run, if not given."""
        return describe(self._setting.graph, {}, spec or self._setting.spec)

    def copy(self) -> ChannelGraph:
        """Return a copy of the model as it came; nothing is traced a second time."""
        return prune_channels(self._setting.graph, self._setting.graph.stays({}))

    def build(self, plan: PruningPlan, snapshot: Snapshot) -> ChannelGraph:
        """Return the model that a plan leaves of the original, with these variables, compiled for this run."""
        small = self._cut(plan)
        if self._setting.compiling is not None:
            self._setting.compiling.compile(small.model)
        snapshot.into(small.model)
        return small

    def put(self, name: str, graph: ChannelGraph) -> None:
        """Keep what a model holds now."""
        self._shelf.put(name, Snapshot.of(graph.model))

    def get(self, name: str, state: RunState) -> ChannelGraph:
        """Return a model that was kept."""
        return self.build(self.whole() if name == BASE else state.named(name).plan, self._shelf.get(name))

    def teacher(self, state: RunState) -> keras.Model:
        """Return the model before the first prune, built once."""
        if self._teacher is None:
            self._teacher = self.get(BASE, state).model
        return self._teacher

    def from_scratch(self, plan: PruningPlan, seed: int) -> ChannelGraph:
        """Return what a plan leaves of the original, with weights drawn anew and an optimizer without a past."""
        small = self._cut(plan)
        draw_weights(small.model, seed)
        if self._setting.compiling is not None:
            self._setting.compiling.compile(small.model, optimizer=keras.optimizers.SGD())
        return small

    def _cut(self, plan: PruningPlan) -> ChannelGraph:
        graph = self._setting.graph
        return prune_channels(graph, graph.stays(kept_channels(graph, plan)))
