"""The inner loop of exact planning, compiled: dynamic programming over the downsets of one block.

A *downset* is a set of operators that has all predecessors of its members: what may be done at some point of a plan.
Plans of a downset are extended by one segment at the end of one device's queue. Of those that have done the same
downset only what the rest can notice matters: the *state* of numbers below. A state that is nowhere later than another
dominates it, since whatever follows the other could follow it, no later; dominated ones are dropped.

State, with ``k`` devices::

    [ free[0..k-1],  exit,  for each value u of the frontier: arrive[u, 0..k-1] ]

``free[d]`` is when device ``d`` has ended its queue, ``exit`` when everything that has left the block so far has
arrived where the block ends, ``arrive[u, d]`` when ``d`` could read ``u``, no earlier than ``free[d]``. A *value* is
what an operator makes, or the part of it that travels in the same time; the *frontier* of a downset are the values that
were made and that somebody outside of it reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Steps(NamedTuple):
    """How downsets follow from each other; they are numbered so that each follows all it can come from.

    Lists of lists are flat: those of number ``i`` are ``xs[xs_at[i] : xs_at[i + 1]]``.

    Attributes:
        from_at: By downset, where its steps begin.
        source: By step, the downset before.
        piece: By step, the segment that is run.
        reads_at: By step, where its reads begin.
        reads: Places in the frontier before, of values that the segment reads.
        moved: From ``moved_at[step]`` on, for each value of the frontier after the step its place in the frontier
            before, or ``-1 - u`` if it is value ``u``, which the segment makes.
        moved_at: By step, where they begin.
        num_frontier: By downset, the size of the frontier.
        ready_at: By downset, where its ready operators begin: not done, but all that they read.
        ready: Ready operators.
        needs_at: By ready operator, where its needs begin.
        needs: Places in the frontier of the values that it reads.
    """

    from_at: Ints
    source: Ints
    piece: Ints
    reads_at: Ints
    reads: Ints
    moved_at: Ints
    moved: Ints
    num_frontier: Ints
    ready_at: Ints
    ready: Ints
    needs_at: Ints
    needs: Ints


class Times(NamedTuple):
    """What the steps of a block cost, in seconds, its first and last device given.

    Attributes:
        piece: By segment and device, its time; infinite where it cannot run.
        entry: By segment and device, when what it reads from before the block is there; 0 if it reads nothing.
        exit_delay: By segment and device, from its end to the arrival, where the block ends, of what leaves the block;
            minus infinity if nothing does.
        delay: By value, device and receiving device, from the end of its maker to its arrival.
        ready_entry: As ``entry``, by operator.
        rest: By operator and device, the least seconds from its start to the end of the block.
        load: By downset and row of ``weights``, the least weighted work of what is not done.
        weights: Rows of weights of the devices that sum to 1.
        exit: When what the end reads from before the block is there.
    """

    piece: Floats
    entry: Floats
    exit_delay: Floats
    delay: Floats
    ready_entry: Floats
    rest: Floats
    load: Floats
    weights: Floats
    exit: float


@numba.njit(cache=True)
def _lower(state: Floats, downset: int, steps: Steps, times: Times) -> float:
    """No way to end the block from this state is faster."""
    k = times.piece.shape[1]
    lower = float(state[k])
    for w in range(times.weights.shape[0]):
        weighted = times.load[downset, w]
        for d in range(k):
            weighted += times.weights[w, d] * state[d]
        lower = max(lower, weighted)
    for r in range(steps.ready_at[downset], steps.ready_at[downset + 1]):
        op = steps.ready[r]
        soonest = np.inf
        for d in range(k):
            start = max(state[d], times.ready_entry[op, d])
            for n in range(steps.needs_at[r], steps.needs_at[r + 1]):
                start = max(start, state[k + 1 + steps.needs[n] * k + d])
            soonest = min(soonest, start + times.rest[op, d])
        lower = max(lower, soonest)
    return lower


@numba.njit(cache=True)
def _grown(array: Any, size: int) -> Any:
    """The array, or a larger one that begins with it."""
    if size <= array.shape[0]:
        return array
    larger = np.empty((max(size, 2 * array.shape[0]), array.shape[1]), array.dtype)
    larger[: array.shape[0]] = array
    return larger


@numba.njit(cache=True)
def run(
    steps: Steps, times: Times, last: int, width: int, upper_s: float, max_states: int, max_work: int
) -> tuple[float, float, int, Ints]:
    """The fastest way through a block that beats ``upper_s``, keeping at most ``width`` states of each downset.

    Args:
        steps: The block.
        times: What it costs.
        last: Device where the block ends, or -1 if it ends when all of it has.
        width: States stored of each downset; of more, those with the least lower bounds.
        upper_s: What is known to be possible.
        max_states: How many states may be made, before the attempt is given up.
        max_work: The same for the numbers that are read and written, about.

    Returns:
        The seconds of the fastest way found, infinite if none beats ``upper_s``; a lower bound of those that were
        dropped for want of width, infinite if none was, 0 if given up; how many states were made; and the way, in
        order, as ``segment * number of devices + device``.
    """
    k = times.piece.shape[1]
    num_downsets = steps.num_frontier.shape[0]
    first = np.zeros(num_downsets + 1, np.int64)
    stride = k + 1 + k * steps.num_frontier.max()
    pool = np.empty((1024, stride), np.float64)
    came = np.empty((1024, 2), np.int64)  # the state before, and the segment and device that led here
    pool[0, :] = 0.0
    pool[0, k] = times.exit
    first[1] = 1
    made = np.empty((256, stride + 2), np.float64)  # states of one downset; their sums and bounds come last
    made_from = np.empty((256, 2), np.int64)
    dropped_s = np.inf
    num_states = 1
    work = 0
    for after in range(1, num_downsets):
        num_made = 0
        size = k + 1 + k * steps.num_frontier[after]
        per_state = 2 * size + k * (times.weights.shape[0] + steps.ready_at[after + 1] - steps.ready_at[after])
        for step in range(steps.from_at[after], steps.from_at[after + 1]):
            piece, source = steps.piece[step], steps.source[step]
            num_sources = first[source + 1] - first[source]
            made = _grown(made, num_made + k * num_sources)
            made_from = _grown(made_from, num_made + k * num_sources)
            work += k * num_sources * per_state
            if work > max_work:
                return np.inf, 0.0, num_states, np.empty(0, np.int64)
            for before in range(first[source], first[source + 1]):
                for d in range(k):
                    if times.piece[piece, d] == np.inf:
                        continue
                    num_states += 1
                    start = max(pool[before, d], times.entry[piece, d])
                    for r in range(steps.reads_at[step], steps.reads_at[step + 1]):
                        start = max(start, pool[before, k + 1 + steps.reads[r] * k + d])
                    end = start + times.piece[piece, d]
                    state = made[num_made]
                    for other in range(k):
                        state[other] = pool[before, other]
                    state[d] = end
                    state[k] = max(pool[before, k], end + times.exit_delay[piece, d])
                    if last >= 0:
                        state[k] = max(state[k], state[last])
                    for f in range(steps.num_frontier[after]):
                        moved = steps.moved[steps.moved_at[step] + f]
                        for other in range(k):
                            if moved >= 0:
                                arrive = pool[before, k + 1 + moved * k + other]
                            else:
                                arrive = end + times.delay[-1 - moved, d, other]
                            state[k + 1 + f * k + other] = max(arrive, state[other])
                    lower = _lower(state, after, steps, times)
                    if lower >= upper_s:
                        continue
                    state[stride] = state[:size].sum()
                    state[stride + 1] = lower
                    made_from[num_made, 0] = before
                    made_from[num_made, 1] = piece * k + d
                    num_made += 1
        if num_states > max_states:
            return np.inf, 0.0, num_states, np.empty(0, np.int64)
        # What dominates has no larger sum and no larger bound, so it comes before what it dominates.
        order = np.argsort(made[:num_made, stride], kind="mergesort")
        order = order[np.argsort(made[order, stride + 1], kind="mergesort")]
        begin = first[after]
        end_of = begin
        pool = _grown(pool, begin + min(width, num_made))
        came = _grown(came, begin + min(width, num_made))
        for i in order:
            if work > max_work:
                return np.inf, 0.0, num_states, np.empty(0, np.int64)
            state = made[i]
            dominated = False
            work += 2 * (end_of - begin)
            for stored in range(begin, end_of):
                dominated = True
                for j in range(size):
                    if pool[stored, j] > state[j]:
                        dominated = False
                        break
                if dominated:
                    break
            if dominated:
                continue
            if end_of - begin == width:
                dropped_s = min(dropped_s, state[stride + 1])
                break
            pool[end_of, :size] = state[:size]
            came[end_of] = made_from[i]
            end_of += 1
        first[after + 1] = end_of
    best, best_s = -1, np.inf
    for i in range(first[num_downsets - 1], first[num_downsets]):
        if pool[i, k] < best_s:
            best, best_s = i, pool[i, k]
    way = np.empty(num_downsets, np.int64)
    length = 0
    while best > 0:
        way[length] = came[best, 1]
        length += 1
        best = came[best, 0]
    return best_s, dropped_s, num_states, way[:length][::-1].copy()
