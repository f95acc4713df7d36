"""From a model to channel labels, and from labels to channel groups."""
