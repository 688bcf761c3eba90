"""The numbers by which payments are routed and that nobody sets: what each is, in which unit, and why.

What people may set is in :class:`engine.setting_groups.RoutingSettings`. A name ends in its unit; ``SHIFT`` is a share
as a power of two: ``x >> 3`` is an eighth of ``x``.
"""

from __future__ import annotations

# Waiting for a cheaper processor: engine.routing.patience, engine.routing.risk.
WAIT_MAX_TENTHS = 9  # of the bound: a payment that has waited so long can still be sent and answered within the bound
LOOK_MS = 20  # while payments wait by choice, the choice is made anew this often
LEAVING_FEW = 16  # of those that have waited long enough so many leave at a time: the ones behind them have not yet ...
LEAVING_SHIFT = 3  # ... or an eighth of all, for they may have come together ...
LEAVING_MS = 500  # ... unless they had to leave this soon: then all do
BUDGET_FEW = 16  # payments that may be at risk, however few were settled yet
RECOVERY_PROBES = 2  # probe intervals in which the cheaper processor may recover after the dearer one has
TOTAL_OUTAGES_MAX = 16  # times that are remembered in which no processor was healthy

# What a healthy processor settles in the second that may be left when payments stop coming: engine.routing.risk.
FLUSH_ANSWER_MS_MAX = 500  # only one that takes no longer is counted upon
FLUSH_MS = 700  # so much of the second is left when the stop has been noticed
FLUSH_MAX = 5_000  # payments, a cap whatever limit and time promise: `make containers SCENARIO=ending` settled 4,919

# Audits: engine.routing.router, engine.routing.audits.
CROWD = 64  # so many are not held back for a few milliseconds while all are healthy: a backlog is being settled
LISTEN_MS = 100  # an answer is listened for when it is so close to being late: longer than a usual rest
BURST_EVERY_MS = 500  # from one burst to the next at slow processors, while no audit was seen yet ...
BURST_MS = 50  # ... and how long one lasts
PROBE_GUARD_SHIFT = 2  # a single probe at one that fails keeps a quarter of the distance from an audit
ARRIVAL_SHIFT = 4  # an answer of a slow processor comes within a sixteenth of its usual time
AUDIT_MEMORY_INTERVALS = 3  # when nobody has asked for so long no audit is expected any more
AUDIT_ROUND_MS = 10  # processors take multiples of this more often than other times
AUDIT_NEAR_MS = 2  # how exactly audits keep their time, and the engine its own

# When payments have stopped coming: engine.routing.arrivals.
STOPPED_MS = 200  # a shorter pause says nothing: it may be the grain of our own passes
STOPPED_MISSING = 60  # nor does one in which fewer would have come, at the rate of the last whole second ...
STOPPED_LONG_MS = 500  # ... until it is as long as this
STOPPED_PAUSES = 1.5  # nor does one that is shorter than so many of the longest that there was ...
STOPPED_WINDOW_MS = 5_000  # ... in this window or in the one before it

# How long answers take: engine.routing.latency. As Jacobson's retransmission timer (V. Jacobson, "Congestion Avoidance
# and Control", SIGCOMM 1988): what is later than the usual time and four deviations is overdue.
LEARNING_SHIFT = 2  # a new latency counts for a quarter of the estimate
DEVIATIONS = 4
STALE_MS = 1000  # when no payment was answered for so long, a health answer's latency counts
RETRY_MS = 30  # from a failure until the payment is sent again: the dispatcher's rest

# Probes: engine.routing.probes.
SUSPECT_PACE = 5  # at a processor that hangs they are this much rarer: what is in flight there already tells most
SLOW_PROBES = 8  # in flight at a processor that answers, but late

# Failing at random, and outages: engine.routing.failures.
FAILURE_MEMORY = 128  # answers: each weighs less by this part of itself with each one that follows
FAILURE_ASSUMED = 8  # successes that nobody has seen, so that a first failure does not say 100 %
FAILURE_KNOWN = 4  # a weight of failures that is less makes no row longer
FAILURE_NEGLIGIBLE = 0.01  # a weight of failures that is as good as none
FAILURE_HALF_LIFE_MS = 10_000
FAILURE_FADE_MS = 1000  # the weights are faded no more often
ROW_CHANCE = 1e-4  # a row that comes by chance more rarely is an outage
ROW_CHANCE_MS = 300  # a row that a success ends within this time was no outage
ROW_MAX = 32  # a row that is longer is an outage whatever the rate, unless more are asked for

# How many requests a processor is given at once: engine.routing.concurrency.
LIMIT_START = 64  # requests in flight
RATE_TRUSTED = 1000  # payments a second that every processor is trusted with at first
QUEUED_FEW = 8  # requests in the processor's queue: with fewer the limit grows ...
QUEUED_MANY = 32  # ... and with more it shrinks
QUEUE_NOISE_MS = 10  # a difference up to this is the grain of our own loop, not a queue
SHORTEST_WINDOW_MS = 10_000  # when no answer was as short as the shortest for so long, that is measured again
MEASURE_ROUNDS = 2  # round trips until the queue has shrunk, and an answer shows it
SHRINK_SHIFT = 3  # by an eighth
REJECTED_SHIFT = 2  # by a quarter of what was in flight
