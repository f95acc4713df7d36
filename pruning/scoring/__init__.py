"""How much each channel matters to a criterion.

`importance` asks the criterion, for the weights or for what was seen on the samples of `calibration`: `observation`
of activations and gradients in `views` of the channels, `removal` of one channel at a time, through the `masked`
original if only that is exact.
"""
