"""The pruned model against the masked original: is it right?

`masking` keeps the removed channels from being read, with the NumPy functions of `reference` where a layer looks at
several channels at once; `verification` compares on `random_inputs`, in double precision where rounding is in the way.
"""
