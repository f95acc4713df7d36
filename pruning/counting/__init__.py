"""What of a model is counted, from labels alone: parameters and multiply-accumulates, in all and by layer.

`costs` counts for any widths of the groups, `rows` tells each layer before and after a prune, `reach` how much pruning
can reach.
"""
