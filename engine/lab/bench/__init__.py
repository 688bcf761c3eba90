"""The benchmark: the engine beside what limits it, nginx that answers by itself, under the same load in the same run.

A *side* (`sides`) is one of the two, started and found by its processes; `ramp` puts the contest's load on it and
`saturation` as much as it takes. `cgroups` applies the limits of `docker-compose.yml` (`limits`) for real, and `split`
looks for the best split of those. `figures` makes medians of rounds, `targets` judges them, `report` and `picture` show
them.
"""
