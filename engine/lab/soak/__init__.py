"""The soak: pays for minutes or hours, and shows that memory, descriptors, latency and books stay what they are.

`payer` is a process that pays as fast as it is told, `flow` decides how fast that may be so that nothing is refused,
`usage` reads what the engine's processes hold, `run` brings it together window by window, and `checks` says which
promises held. `report` and `picture` show it.
"""
