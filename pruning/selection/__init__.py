"""Which channels go: what is asked for, how far each group may shrink, in which order, and when it is enough.

`planning` makes the plan. It takes the `goals` from the spec, the `bounds` of each group, an order of removal from
`ranking` and the one solver in `targets`, which counts with `costs`; `feasibility` asks beforehand whether the goals
can be reached at all. `iterations` divides the way into steps, `drop` watches the metric, `speed` the latency.
"""
