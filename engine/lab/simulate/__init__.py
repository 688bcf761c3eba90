"""Payment processors that behave as the contest's do, and, on demand, as badly as a processor can.

What they do is decided by code without sockets (`store`, `faults`, `behaviour`, `routes`), so that a
simulation in virtual time can run the same processors; `server` and `command` put them on the network.
"""
