"""What no plan can beat: lower bounds on the makespan of any problem, in time linear in its size.

Three relaxations, each of the plan that runs every operator as a segment of its own:

- **Critical path.** Every operator waits for its slowest input alone; each of those may have come from whatever device
  gives it soonest. Hand-overs are paid between devices, accesses included.
- **Load.** Operators may be cut into parts that different devices run at once, in any order: the linear program
  ``min T`` such that ``sum over v of x[v, d] * c[v, d] <= T`` for each device ``d``, ``sum over d of x[v, d] = 1``. By
  duality it is the maximum over weights ``w >= 0`` of devices that sum to 1 of ``sum over v of min over d of
  w[d] * c[v, d]``, and any weights give a bound. For two devices the best are found exactly: some operator costs the
  same on both by them.
- **Both.** Of operators that cannot start before ``h`` and after which ``t`` is left in any case, the load has to fit
  between: ``h + load + t`` (heads and tails, as in J. Carlier, "The one-machine sequencing problem", European Journal
  of Operational Research 11(1), 1982, doi 10.1016/S0377-2217(82)80007-6).

What comes before an articulation operator ends before it starts, so the bounds of the blocks between them add up.

**Fused segments.** A plan whose segments come from a given collection is turned into one of single operators that ends
no later: let a segment's operators run one after the other on its device, each for its share of the segment's time.
They start no earlier than the segment, need their inputs no earlier, and end no later. So if each operator costs the
least share that any segment of the collection gives it (:func:`prices`), the bounds hold for all these plans.

**Copies and contention** only make things later: with the queues as they are, a copy that waits for the memory channel
arrives no earlier than one that does not, a segment beside others takes no less than alone, and by induction along the
order of segments nothing ends sooner. So bounds that leave both out hold with them.

**Access to shared tensors** is part of segments in a plan, and of delays between operators here
(:meth:`~hetsim.core.problem.Problem.hand_over_s`). From a plan follows a schedule with these delays that ends no later:
let a segment's operators run from its start plus ``read``, what reading takes it longer, so that ``written``, what
writing takes it longer, is left after them. They then begin at least ``written`` of the writer, the transfer and
``read`` of the reader after the operators end that make what they read, and the two are at least what one tensor costs
writer and reader. Segments beside others take no less time than alone, accesses included. But one that waits for the
memory alone may access tensors meanwhile, so the memory is left out of its time then (:func:`alone_s`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain

import numpy as np
import numpy.typing as npt

from hetsim.core.plan import Segment
from hetsim.core.problem import Problem
from hetsim.models.structure import blocks
from hetsim.scheduler.solution import ROUNDING

Floats = npt.NDArray[np.float64]

MAX_WEIGHTS = 16
"""How many weightings of devices are tried where the load of many sets of operators is bounded."""
MAX_STEPS = 16
"""Heads and tails are told apart in so many steps each."""
FINEST_GRID = 1e-6
"""Grids of times that are finer than this part of a bound are not looked for."""
ROUNDS = 200
"""Steps of the subgradient search for weights of more than two devices."""


def alone_s(problem: Problem, device: str, ops: tuple[str, ...]) -> float:
    """What a segment takes with the memory to itself, without access, in seconds; infinite where it cannot run.

    Where access costs something, work that waits for the memory may access tensors meanwhile: then the latency alone.
    """
    seconds = problem.cost_s(device, ops)
    if problem.traffic_function is None or problem.sharing is not None or not 0 < seconds < math.inf:
        return seconds
    return max(seconds, problem.traffic_bytes(device, ops) / problem.platform.memory.shared_bytes_per_s)


def prices(problem: Problem, segments: Iterable[Segment] = ()) -> Floats:
    """By operator and device, the least that it adds to any segment, in seconds; infinite where it cannot run.

    A segment's time is shared out to its operators in proportion to what each takes alone on that device.

    Args:
        problem: The problem.
        segments: Which segments there may be, besides single operators.
    """
    graph, names = problem.graph, problem.platform.device_names
    single = np.array([[alone_s(problem, name, (op.name,)) for name in names] for op in graph.ops])
    price = single.copy()
    for segment in segments:
        d = names.index(segment.device)
        seconds = alone_s(problem, segment.device, segment.ops)
        if len(segment.ops) > 1 and seconds < math.inf:
            at = [graph.position[op] for op in segment.ops]
            price[at, d] = np.minimum(price[at, d], shares(seconds, single[at, d]))
    return price


def shares(seconds: float, alone: Floats) -> Floats:
    """``seconds`` shared out in proportion to ``alone``, infinite ones taken as 0; equally if nothing is left."""
    weights = np.where(np.isfinite(alone), alone, 0.0)
    total = weights.sum()
    return np.full(len(alone), seconds / len(alone)) if total <= 0 else seconds * (weights / total)


def weighted(price: Floats, weights: Floats) -> Floats:
    """By row of weights and operator, the least weighted price over all devices."""
    runnable = np.isfinite(price)
    cost = np.where(runnable, price, 0.0)
    least: Floats = np.where(runnable, weights[:, None, :] * cost, np.inf).min(axis=2, initial=np.inf)
    return least


def load_weights(price: Floats, count: int = MAX_WEIGHTS) -> Floats:
    """Weights of devices, a row each that sums to 1, that bound the load of these operators and of parts of them.

    The first row is the best for all operators together: exactly so for two devices, nearly for more.

    Args:
        price: By operator and device, in seconds.
        count: How many rows at most.
    """
    num_ops, num_devices = price.shape
    if num_devices == 1 or not num_ops:
        return np.full((1, num_devices), 1 / num_devices)
    return _two_weights(price, count) if num_devices == 2 else _many_weights(price, count)


def _two_weights(price: Floats, count: int) -> Floats:
    """Weights at which some operator costs the same on both of two devices: among those are the best of any set."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(np.isinf(price[:, 1]), 1.0, price[:, 1] / (price[:, 0] + price[:, 1]))
    ratios = np.unique(ratio[np.isfinite(ratio)])  # of operators that cost nothing there is none
    ratios = np.unique(np.concatenate([[0.0, 0.5, 1.0], ratios]))
    low, high = 0, len(ratios) - 1
    while low < high:  # the weighted load is concave in the weight of the first device
        middle = (low + high) // 2
        here, there = (weighted(price, np.array([[w, 1 - w]])).sum() for w in ratios[middle : middle + 2])
        low, high = (middle + 1, high) if there > here else (low, middle)
    some = ratios[np.linspace(0, len(ratios) - 1, min(count - 1, len(ratios))).round().astype(int)]
    rows = [ratios[low], *(w for w in some if w != ratios[low])]
    return np.array([[w, 1 - w] for w in rows])


def _many_weights(price: Floats, count: int) -> Floats:
    """Weights from a subgradient search: a device that gets more of the load than others gains weight."""
    num_devices = price.shape[1]
    runnable = np.isfinite(price)
    cost = np.where(runnable, price, 0.0)
    weights = np.full(num_devices, 1 / num_devices)
    found: list[tuple[float, tuple[float, ...]]] = []
    for i in range(ROUNDS):
        each = np.where(runnable, weights * cost, np.inf)
        chosen = each.argmin(axis=1)
        found.append((float(each.min(axis=1).sum()), tuple(weights)))
        loads = np.bincount(chosen, cost[np.arange(len(chosen)), chosen], num_devices)
        if loads.max() <= 0:
            break
        weights = weights * np.exp(loads / loads.max() / math.sqrt(i + 1))
        weights = weights / weights.sum()
    found.sort(key=lambda one: (-one[0], one[1]))
    uniform = (1 / num_devices,) * num_devices
    return np.array(list(dict.fromkeys([*(w for _, w in found[: count - 1]), uniform])))


def load_s(price: Floats) -> float:
    """No way to share these operators out among the devices takes less, in seconds."""
    if not len(price):
        return 0.0
    return float(weighted(price, load_weights(price)).sum(axis=1).max())


def lower_bound(problem: Problem, segments: Iterable[Segment] = ()) -> float:
    """No plan of single operators and the given segments takes less, in seconds; rounding aside.

    Args:
        problem: The problem.
        segments: Which segments there may be, besides single operators.
    """
    graph = problem.graph
    price = prices(problem, segments)
    delays = _delays(problem)
    whole_s = _critical_s(price, *_heads_and_tails(price, delays, range(len(graph.ops))))
    in_blocks_s = 0.0
    for block in blocks(graph):
        inside = range(graph.position[block[0]], graph.position[block[-1]] + 1)
        here = price[inside.start : inside.stop]
        heads, tails = _heads_and_tails(price, delays, inside)
        in_blocks_s += max(_critical_s(here, heads, tails), _between_s(here, heads.min(axis=1), tails.min(axis=1)))
    return max(whole_s, in_blocks_s)


def on_grid(problem: Problem, bound_s: float) -> float:
    """A lower bound for plans of single operators, raised to the next time that such a plan can take, in seconds.

    Where all costs, hand-overs and accesses are multiples of one number, so is what any plan takes without copies that
    queue and without contention; with these it takes no less. Measured times have no such number that matters.

    Args:
        problem: The problem.
        bound_s: No plan takes less, rounding aside.
    """
    if not 0 < bound_s < math.inf:
        return bound_s
    grid = Fraction(0)
    for seconds in chain(prices(problem).flat, _hand_overs_s(problem)):
        if 0 < seconds < math.inf:
            other = Fraction(float(seconds))
            shared = math.lcm(grid.denominator, other.denominator)
            grid = Fraction(math.gcd(int(grid * shared), int(other * shared)), shared)
            if grid < bound_s * FINEST_GRID:
                return bound_s
    return float(grid * math.ceil(Fraction(bound_s * (1 - ROUNDING)) / grid)) if grid else bound_s


def _hand_overs_s(problem: Problem) -> Iterator[float]:
    """What hand-overs of all tensors between any two devices take, and what each costs its writer and its reader."""
    links, sharing = list(problem.platform.links.values()), problem.sharing
    for tensor in problem.graph.producer:
        num_bytes = problem.graph.tensors[tensor].num_bytes
        for link in links:
            yield link.transfer_s(num_bytes)
        if sharing is not None:
            for device in problem.platform.device_names:
                yield sharing.written_s(device, tensor)
                yield sharing.read_s(device, tensor)


def _delays(problem: Problem) -> Sequence[Sequence[tuple[int, Floats]]]:
    """By operator, the operators it reads from, each with the seconds from device to device."""
    graph, names = problem.graph, problem.platform.device_names
    result = []
    known: dict[tuple[str, ...], Floats] = {}
    for op in graph.ops:
        read: dict[int, Floats] = {}
        for tensor in op.inputs:
            if tensor in graph.producer:
                if (tensor,) not in known:
                    known[tensor,] = np.array([[problem.hand_over_s(a, b, tensor) for b in names] for a in names])
                before = graph.position[graph.producer[tensor]]
                read[before] = np.maximum(read[before], known[tensor,]) if before in read else known[tensor,]
        result.append(tuple(read.items()))
    return result


def _heads_and_tails(
    price: Floats, delays: Sequence[Sequence[tuple[int, Floats]]], inside: range
) -> tuple[Floats, Floats]:
    """By operator of a range and device: the least seconds before its start, and after its end, within the range."""
    heads = np.zeros((len(inside), price.shape[1]))
    tails = np.zeros_like(heads)
    for v in inside:
        for u, delay in delays[v]:
            if u >= inside.start:
                ends = heads[u - inside.start] + price[u]
                np.maximum(heads[v - inside.start], (ends[:, None] + delay).min(axis=0), out=heads[v - inside.start])
    for v in reversed(inside):
        left = price[v] + tails[v - inside.start]
        for u, delay in delays[v]:
            if u >= inside.start:
                np.maximum(tails[u - inside.start], (delay + left).min(axis=1), out=tails[u - inside.start])
    return heads, tails


def _critical_s(price: Floats, heads: Floats, tails: Floats) -> float:
    return float((heads + price + tails).min(axis=1).max(initial=0.0))


def _between_s(price: Floats, heads: Floats, tails: Floats) -> float:
    """The largest ``h + load + t`` over operators with heads from ``h`` and tails from ``t`` on."""
    if len(price) == 1:
        return float(price.min())
    each = weighted(price, load_weights(price))
    head_steps, tail_steps = _few(heads), _few(tails)
    row = np.searchsorted(head_steps, heads, side="right") - 1
    column = np.searchsorted(tail_steps, tails, side="right") - 1
    load = np.zeros((len(each), len(head_steps), len(tail_steps)))
    for w, work in enumerate(each):
        np.add.at(load[w], (row, column), work)
    load = load[:, ::-1, ::-1].cumsum(axis=1).cumsum(axis=2)[:, ::-1, ::-1].max(axis=0)
    count = np.zeros(load.shape)
    np.add.at(count, (row, column), 1)
    some = count[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1] > 0
    return float(np.where(some, head_steps[:, None] + load + tail_steps[None, :], 0.0).max(initial=0.0))


def _few(values: Floats) -> Floats:
    """Some of the distinct values, ascending, the least among them."""
    distinct = np.unique(values)
    some: Floats = distinct[np.linspace(0, len(distinct) - 1, min(MAX_STEPS, len(distinct))).round().astype(int)]
    return some
