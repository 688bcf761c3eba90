"""The fixed numbers of the routing: what each is, in which unit, and why.

What can be set is in :class:`engine.setting_groups.RoutingSettings`. A name ends in its unit; ``SHIFT`` is a share
as a power of two: ``x >> 3`` is an eighth of ``x``.
"""

from __future__ import annotations

# Waiting for a cheaper processor: engine.routing.patience, engine.routing.risk.
WAIT_MAX_TENTHS = 9  # of the bound: a payment that has waited this long can still be settled within the bound
LOOK_MS = 20  # while payments wait by choice, the choice is made anew this often
LEAVING_FEW = 16  # this many of the payments that have waited long enough leave at a time ...
LEAVING_SHIFT = 3  # ... or an eighth of all that wait, because they may have come together ...
LEAVING_MS = 500  # ... but if the allowed wait is this short, all of them leave
BUDGET_FEW = 16  # this many payments may be at risk, however few were settled yet
RECOVERY_PROBES = 2  # probe intervals in which the cheaper processor may recover after the dearer one has
TOTAL_OUTAGES_MAX = 16  # times that are remembered in which no processor was healthy

# What a healthy processor settles in the second that may be left when payments stop coming: engine.routing.risk.
FLUSH_ANSWER_MS_MAX = 500  # a processor that takes longer is not relied upon
FLUSH_MS = 700  # the part of the second that is left when the stop has been noticed
FLUSH_MAX = 5_000  # payments, a cap whatever limit and time promise: `make containers SCENARIO=ending` settled 4,919

# Audits: engine.routing.router, engine.routing.audits.
CROWD = 64  # if more than this wait while all are healthy, none is held back for audits: a backlog is being settled
LISTEN_MS = 100  # the dispatcher listens from this long before an answer is slow: longer than a usual pause
BURST_EVERY_MS = 500  # from one burst to the next at slow processors, while no audit was seen yet ...
BURST_MS = 50  # ... and how long a burst lasts
PROBE_GUARD_SHIFT = 2  # a single probe at a failing processor keeps a quarter of the usual distance from an audit
ARRIVAL_SHIFT = 4  # an answer of a slow processor comes within a sixteenth of its usual time
AUDIT_MEMORY_INTERVALS = 3  # after this long without a request for a summary, no audit is expected any more
AUDIT_ROUND_MS = 10  # processors take multiples of this more often than other times
AUDIT_NEAR_MS = 2  # how exactly audits keep their time, and the engine its own

# When payments have stopped coming: engine.routing.arrivals.
STOPPED_MS = 200  # a shorter pause says nothing: it may come from the dispatcher's own passes
STOPPED_MISSING = 60  # a pause says nothing if fewer would have come in it, at the rate of the last whole second ...
STOPPED_LONG_MS = 500  # ... unless it is as long as this
STOPPED_PAUSES = 1.5  # a pause says nothing if it is shorter than this many times the longest pause ...
STOPPED_WINDOW_MS = 5_000  # ... in this window or in the one before it

# How long answers take: engine.routing.latency. As Jacobson's retransmission timer (V. Jacobson, "Congestion Avoidance
# and Control", SIGCOMM 1988): an answer is overdue after the usual time and four deviations.
LEARNING_SHIFT = 2  # a new latency counts for a quarter of the estimate
DEVIATIONS = 4
STALE_MS = 1000  # when no payment was answered for this long, a health answer's latency counts
RETRY_MS = 30  # from a failure until the payment is sent again: the dispatcher's pause

# Probes: engine.routing.probes.
SUSPECT_PACE = 5  # at a suspect processor probes are this much rarer: the requests in flight there tell most already
SLOW_PROBES = 8  # probes in flight together at a slow processor

# Failing at random, and outages: engine.routing.failures.
FAILURE_MEMORY = 128  # answers: with each one that follows, the weight of an answer shrinks by 1/128
FAILURE_ASSUMED = 8  # assumed successes, so that a first failure does not say 100 %
FAILURE_KNOWN = 4  # with a smaller weight of failures, the rate does not make the row of an outage longer
FAILURE_NEGLIGIBLE = 0.01  # a smaller weight of failures becomes 0
FAILURE_HALF_LIFE_MS = 10_000
FAILURE_FADE_MS = 1000  # the weights are faded no more often
ROW_CHANCE = 1e-4  # a row is an outage if its probability by chance is lower
ROW_CHANCE_MS = 300  # a row that a success ends within this time was no outage
ROW_MAX = 32  # a row of this length is an outage whatever the rate, unless ENGINE_BREAKER_FAILURES is more

# How many requests a processor is given at once: engine.routing.concurrency.
LIMIT_START = 64  # requests in flight
RATE_TRUSTED = 1000  # payments a second that every processor gets at first
QUEUED_FEW = 8  # requests in the processor's queue: with fewer the limit grows ...
QUEUED_MANY = 32  # ... and with more it shrinks
QUEUE_NOISE_MS = 10  # a difference up to this comes from the dispatcher's own passes, not from a queue
SHORTEST_WINDOW_MS = 10_000  # when no answer was as short as the shortest for this long, it is measured again
MEASURE_ROUNDS = 2  # round trips until the queue has shrunk, and an answer shows it
SHRINK_SHIFT = 3  # by an eighth
REJECTED_SHIFT = 2  # by a quarter of what was in flight
