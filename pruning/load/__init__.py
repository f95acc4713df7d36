"""A model file → a model, repaired where Keras 2 wrote it, or a clear refusal."""

from pruning.load.loading import LoadedModel, load, load_model

__all__ = ["LoadedModel", "load", "load_model"]
