"""The inner loop of :mod:`hetsim.scheduler.search.anneal`, compiled by numba; importing this module imports numba.

A candidate is a topological order of all operators and a device for each. Decoded, every operator starts when its
device has done the operators before it in the order and its inputs are there. Every plan of single operators is the
decoding of some candidate, and no candidate deadlocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hetsim.sim.kernel.arrays import Floats, Ints, Requests, Space, Tables
from hetsim.sim.kernel.one import run


class Costs(NamedTuple):
    """A problem of single operators.

    Attributes:
        seconds: By operator and device; infinite where it cannot run.
        delay_s: By entry of ``before``, source and target: from that operator's end until its reader has what it reads.
        before_start: By operator, where its part of ``before`` begins; one entry more than operators.
        before: Operators that it reads from.
        after_start: The same for ``after``.
        after: Operators that read from it.
        tail_s: By operator, what must pass at least between its end and the last end of all.
        plain: Whether no hand-over is a copy, and nothing slows anything down or takes longer in some plans than in
            others.
    """

    seconds: Floats
    delay_s: Floats
    before_start: Ints
    before: Ints
    after_start: Ints
    after: Ints
    tail_s: Floats
    plain: bool


class State(NamedTuple):
    """The state of a local search. ``new_state`` makes one.

    Attributes:
        order: The operators.
        place: By operator, its place in ``order``.
        device: By operator.
        best_order: Of the best candidate so far.
        best_device: Of the same.
        end_s: By operator, when it ends.
        was_s: By operator, when it ended before the move under trial.
        free_s: By place and device, when the device has done what comes before that place; in as many columns more,
            how long it will be at work from there on.
        new_free_s: The same after the move under trial.
        seconds: The makespans of the current candidate and of the best one, and the cost of the former.
        random: The state of the generator.
        queue_start: Room for the candidate as the kernel of the compiled simulator takes it.
        queue: The same.
    """

    order: Ints
    place: Ints
    device: Ints
    best_order: Ints
    best_device: Ints
    end_s: Floats
    was_s: Floats
    free_s: Floats
    new_free_s: Floats
    seconds: Floats
    random: NDArray[np.uint64]
    queue_start: Ints
    queue: Ints


_NOW, _BEST, _COST = 0, 1, 2
_NEAR, _REACH = 0.5, 20
"""So many moves lead no further than so many places, which large graphs need to improve at all."""
_EXCHANGE = 0.9
"""So many of the moves to another device try to send an operator back for it, lest one device have too much to do."""
_ENDS = 0.6
"""Of the mean end of the devices, as part of the cost of a candidate: most moves leave the makespan as it is, and then
this says which are steps in the right direction."""
_LESS = 1 - 1e-9
"""Of sums that were taken in another order than times are, lest they promise more than will pass."""


def new_state(order: Ints, device: Ints, num_devices: int, seed: int) -> State:
    """A local search that will start from a candidate; :func:`restart` evaluates it."""
    num_ops = len(order)
    return State(
        order=order.copy(),
        place=np.empty_like(order),
        device=device.copy(),
        best_order=order.copy(),
        best_device=device.copy(),
        end_s=np.empty(num_ops),
        was_s=np.empty(num_ops),
        free_s=np.zeros((num_ops + 1, 2 * num_devices)),
        new_free_s=np.zeros((num_ops + 1, 2 * num_devices)),
        seconds=np.full(3, np.inf),
        random=np.array([seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019 & 0xFFFFFFFFFFFFFFFF or 1], np.uint64),
        queue_start=np.empty(num_devices + 1, np.uint32),
        queue=np.empty(num_ops, np.uint32),
    )


def beside(state: State) -> State:
    """Another local search of the same problem, with a best candidate of its own and the same random numbers."""
    return new_state(state.order, state.device, state.free_s.shape[1] // 2, 0)._replace(random=state.random)


def take_over(state: State, other: State) -> None:
    """Take over another local search's best candidate, if it is better; the current candidate stays."""
    if other.seconds[_BEST] < state.seconds[_BEST]:
        state.best_order[:], state.best_device[:] = other.best_order, other.best_device
        state.seconds[_BEST] = other.seconds[_BEST]


@njit(cache=True, error_model="numpy")
def restart(costs: Costs, tables: Tables, space: Space, state: State) -> None:
    """Go back to the best candidate so far, and evaluate it."""
    state.order[:] = state.best_order
    state.device[:] = state.best_device
    num_ops, num_devices = len(state.order), costs.seconds.shape[1]
    for k in range(num_ops):
        state.place[state.order[k]] = k
    state.free_s[0] = 0.0
    for k in range(num_ops):
        op = state.order[k]
        device = state.device[op]
        start_s = state.free_s[k, device]
        for i in range(costs.before_start[op], costs.before_start[np.uint32(op + 1)]):
            other = costs.before[i]
            start_s = max(start_s, state.end_s[other] + costs.delay_s[i, state.device[other], device])
        state.end_s[op] = start_s + costs.seconds[op, device]
        for each in range(num_devices):
            state.free_s[k + 1, each] = state.free_s[k, each]
        state.free_s[k + 1, device] = state.end_s[op]
    state.free_s[num_ops, num_devices:] = 0.0
    for k in range(num_ops - 1, -1, -1):
        state.free_s[k, num_devices:] = state.free_s[k + 1, num_devices:]
        device = state.device[state.order[k]]
        state.free_s[k, num_devices + device] += costs.seconds[state.order[k], device]
    makespan_s = (
        state.free_s[num_ops, :num_devices].max() if costs.plain else _by_compiled_simulator(tables, space, state)
    )
    state.seconds[_NOW] = makespan_s
    ends_s = state.free_s[num_ops, :num_devices].sum() if costs.plain else 0.0
    state.seconds[_COST] = makespan_s + _ENDS / num_devices * ends_s
    state.seconds[_BEST] = min(makespan_s, state.seconds[_BEST])


@njit(cache=True, error_model="numpy")
def run_moves(
    costs: Costs, tables: Tables, space: Space, state: State, count: int, temperature_s: float, cooling: float
) -> None:
    """Try ``count`` moves; the temperature is multiplied by ``cooling`` after each.

    A move takes one operator to another place in the order, and half of the time to another device, mostly in exchange
    for another operator, which stays where it is in the order. It is accepted if the cost grows by less than the
    temperature times an exponential variate, which is Metropolis' rule. The cost is the makespan and, where the
    compiled simulator is not asked, part of the devices' ends.
    """
    order, place, device_of, end_s, was_s = state.order, state.place, state.device, state.end_s, state.was_s
    free_s, new_free_s = state.free_s, state.new_free_s
    seconds, delay_s, tail_s = costs.seconds, costs.delay_s, costs.tail_s
    before_start, before, after_start, after = costs.before_start, costs.before, costs.after_start, costs.after
    num_ops, num_devices = len(order), seconds.shape[1]
    random, per_end = state.random, _ENDS / num_devices
    now_s, best_s, now_cost_s = state.seconds[_NOW], state.seconds[_BEST], state.seconds[_COST]
    for _ in range(count):
        op = np.uint32(_uniform(random) * num_ops)
        source, old_device = place[op], device_of[op]
        low, high = np.uint32(0), np.uint32(num_ops - 1)
        for i in range(before_start[op], before_start[np.uint32(op + 1)]):
            low = max(low, np.uint32(place[before[i]] + 1))
        for i in range(after_start[op], after_start[np.uint32(op + 1)]):
            high = min(high, np.uint32(place[after[i]] - 1))
        nearest, farthest = np.uint32(0), np.uint32(num_ops - 1)
        if _uniform(random) < _NEAR:
            nearest = np.uint32(max(np.int64(source) - _REACH, 0))
            farthest = min(farthest, np.uint32(source + _REACH))
        low, high = max(low, nearest), min(high, farthest)
        target = np.uint32(low + _uniform(random) * (high - low + 1.0))
        device = old_device
        if num_devices > 1 and _uniform(random) < 0.5:
            device = np.uint32((old_device + 1 + np.uint32(_uniform(random) * (num_devices - 1))) % num_devices)
        limit_s = now_cost_s - temperature_s * np.log(1.0 - _uniform(random))
        temperature_s *= cooling
        if seconds[op, device] == np.inf or (target == source and device == old_device):
            continue
        _shift(order, place, source, target)
        device_of[op] = device
        first, last = min(source, target), max(source, target)
        partner = op  # or whatever is sent back in exchange
        if device != old_device and _uniform(random) < _EXCHANGE:
            other = order[np.uint32(nearest + _uniform(random) * (farthest - nearest + 1.0))]
            if device_of[other] == device and seconds[other, old_device] < np.inf:
                partner = other
                device_of[partner] = old_device
                first, last = min(first, place[partner]), max(last, place[partner])
        if costs.plain:
            for each in range(2 * num_devices):
                new_free_s[first, each] = free_s[first, each]
            new_free_s[first, num_devices + old_device] -= seconds[op, old_device]
            new_free_s[first, num_devices + device] += seconds[op, device]
            if partner != op:
                new_free_s[first, num_devices + device] -= seconds[partner, device]
                new_free_s[first, num_devices + old_device] += seconds[partner, old_device]
            k = first
            recheck = np.uint32(last + 1)
            makespan_s = np.inf
            cost_s = now_cost_s
            least_s = ends_s = 0.0  # as far as is known: of the makespan, and of the sum of the devices' ends
            for each in range(num_devices):
                end_here_s = new_free_s[first, each] + new_free_s[first, num_devices + each]
                least_s, ends_s = max(least_s, end_here_s), ends_s + end_here_s
            hopeless = (least_s + per_end * ends_s) * _LESS > limit_s
            while k < num_ops and not hopeless:
                if k == recheck:  # beyond the move: if all is as it was, the rest will be, too
                    same = True
                    for each in range(num_devices):
                        same = same and new_free_s[k, each] == free_s[k, each]
                    recheck = np.uint32(k + 1)
                    if same:
                        horizon = np.uint32(0)  # the last place of those that see any difference
                        for i in range(first, k):
                            if end_s[order[i]] != was_s[order[i]] or order[i] == op or order[i] == partner:
                                for j in range(after_start[order[i]], after_start[np.uint32(order[i] + 1)]):
                                    horizon = max(horizon, place[after[j]])
                        if horizon < k:
                            makespan_s = now_s
                            break
                        recheck = np.uint32(horizon + 1)
                this = order[k]
                on = device_of[this]
                start_s = new_free_s[k, on]
                for i in range(before_start[this], before_start[np.uint32(this + 1)]):
                    other = before[i]
                    start_s = max(start_s, end_s[other] + delay_s[i, device_of[other], on])
                was_s[this] = end_s[this]
                ends_s += start_s - new_free_s[k, on]
                end_s[this] = start_s + seconds[this, on]
                k = np.uint32(k + 1)
                for each in range(2 * num_devices):
                    new_free_s[k, each] = new_free_s[np.uint32(k - 1), each]
                new_free_s[k, on] = end_s[this]
                new_free_s[k, num_devices + on] -= seconds[this, on]
                left_s = max(tail_s[this], new_free_s[k, num_devices + on])
                least_s = max(least_s, end_s[this] + left_s)
                hopeless = (least_s + per_end * ends_s) * _LESS > limit_s
                if k == num_ops and not hopeless:
                    makespan_s = 0.0
                    for each in range(num_devices):
                        makespan_s = max(makespan_s, new_free_s[k, each])
                    cost_s = makespan_s + per_end * ends_s
        else:
            k = first
            makespan_s = cost_s = _by_compiled_simulator(tables, space, state)
        if makespan_s < np.inf and cost_s <= limit_s:
            now_s, now_cost_s = makespan_s, cost_s
            if costs.plain:
                for i in range(first, k + 1):
                    for each in range(2 * num_devices):
                        free_s[i, each] = new_free_s[i, each]
                if device != old_device:
                    for i in range(first):
                        free_s[i, num_devices + old_device] -= seconds[op, old_device]
                        free_s[i, num_devices + device] += seconds[op, device]
                        if partner != op:
                            free_s[i, num_devices + device] -= seconds[partner, device]
                            free_s[i, num_devices + old_device] += seconds[partner, old_device]
            if makespan_s < best_s:
                best_s = makespan_s
                state.best_order[:] = order
                state.best_device[:] = device_of
        else:
            for i in range(first, k):
                end_s[order[i]] = was_s[order[i]]
            device_of[op] = old_device
            if partner != op:
                device_of[partner] = device
            _shift(order, place, target, source)
    state.seconds[_NOW], state.seconds[_BEST], state.seconds[_COST] = now_s, best_s, now_cost_s


@njit(cache=True, error_model="numpy")
def _shift(order: Ints, place: Ints, source: int, target: int) -> None:
    """Move what is at one place to another; what lies between moves up."""
    op = order[source]
    k = source
    while k != target:
        following = np.uint32(k + 1) if k < target else np.uint32(k - 1)
        order[k] = order[following]
        place[order[k]] = k
        k = following
    order[target] = op
    place[op] = target


@njit(cache=True, error_model="numpy")
def _uniform(random: NDArray[np.uint64]) -> float:
    """A number from 0 to less than 1: S. Vigna, ACM Trans. Math. Software 42(4), 2016, doi 10.1145/2845077."""
    x = random[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    random[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, error_model="numpy")
def _by_compiled_simulator(tables: Tables, space: Space, state: State) -> float:
    """The makespan of the candidate where rule 3, copies or cross-device access act."""
    num_devices = len(state.queue_start) - 1
    place = np.uint32(0)
    for device in range(num_devices):
        state.queue_start[device] = place
        for op in state.order:
            if state.device[op] == device:
                state.queue[place] = op
                place = np.uint32(place + 1)
    state.queue_start[num_devices] = place
    none = np.empty((0, 0))
    alone = Requests(1, False, 0.0, 1, 0.0, 0.0, none, none)
    last_s, num_left = run(tables, state.queue_start, state.queue, alone, space)
    return np.inf if num_left else last_s
