"""The soak: pays for minutes or hours, and shows that memory, descriptors, latency and books stay what they are.

`payer` is a process that pays as fast as it is told, `flow` decides how fast that may be so that nothing is refused,
`run` looks window by window at what the engine's processes hold, and `checks` says which promises held. `report` and
`picture` show it.
"""
