"""Orders for an assignment by dispatching, compiled by numba; importing this module imports numba.

Nobody waits while there is something to do, and what most has to wait for goes first: the list scheduling of R. L.
Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17(2), 1969, doi
10.1137/0117039, with devices given. In a large graph that leaves hardly a device idle, so that the plan takes as long
as its busiest device is busy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hetsim.scheduler.search.moves import Costs
from hetsim.sim.kernel.arrays import Ints


@njit(cache=True, error_model="numpy")
def narrowed(costs: Costs, device: Ints) -> Costs:
    """The problem in which each operator can run on its given device alone."""
    seconds, tail_s = np.full_like(costs.seconds, np.inf), np.zeros_like(costs.tail_s)
    for op in range(len(device) - 1, -1, -1):
        on = device[op]
        seconds[op, on] = costs.seconds[op, on]
        for i in range(costs.before_start[op], costs.before_start[op + 1]):
            other = costs.before[i]
            tail_s[other] = max(tail_s[other], costs.delay_s[i, device[other], on] + seconds[op, on] + tail_s[op])
    return Costs(
        seconds,
        costs.delay_s,
        costs.before_start,
        costs.before,
        costs.after_start,
        costs.after,
        tail_s,
        costs.plain,
    )


@njit(cache=True, error_model="numpy")
def dispatched(costs: Costs, device: Ints) -> Ints:
    """An order for an assignment: whatever can start soonest comes next; of those, what most has to wait for.

    Args:
        costs: The problem, :func:`narrowed` to the assignment.
        device: By operator.

    Returns:
        The operators; no device idles while there is something for it to do. Ties go to the graph's order.
    """
    num_ops = len(device)
    order, waits = np.empty_like(device), np.empty_like(device)
    ready_s, free_s = np.zeros(num_ops), np.zeros(costs.seconds.shape[1])
    missing = np.empty(num_ops, np.int64)
    num_waits = 0
    for op in range(num_ops):
        missing[op] = costs.before_start[op + 1] - costs.before_start[op]
        if not missing[op]:
            waits[num_waits] = op
            num_waits += 1
    for k in range(num_ops):
        chosen, soonest_s, most_s = 0, np.inf, 0.0
        for n in range(num_waits):
            op = waits[n]
            start_s = max(ready_s[op], free_s[device[op]])
            urgent_s = costs.seconds[op, device[op]] + costs.tail_s[op]
            first = start_s < soonest_s or (start_s == soonest_s and urgent_s > most_s)
            if first or (start_s == soonest_s and urgent_s == most_s and op < waits[chosen]):
                chosen, soonest_s, most_s = n, start_s, urgent_s
        op = waits[chosen]
        num_waits -= 1
        waits[chosen] = waits[num_waits]
        order[k] = op
        end_s = soonest_s + costs.seconds[op, device[op]]
        free_s[device[op]] = end_s
        for i in range(costs.after_start[op], costs.after_start[op + 1]):
            reader = costs.after[i]
            for e in range(costs.before_start[reader], costs.before_start[reader + 1]):
                if costs.before[e] == op:
                    ready_s[reader] = max(ready_s[reader], end_s + costs.delay_s[e, device[op], device[reader]])
            missing[reader] -= 1
            if not missing[reader]:
                waits[num_waits] = reader
                num_waits += 1
    return order
