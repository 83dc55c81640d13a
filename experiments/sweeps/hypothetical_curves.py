"""What is best over something about a machine that nobody has: plans made at every point, each point's best of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from experiments.sweeps.hypothetical_points import Base, Candidates, Found, Point, base_problem, candidates
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan

BEST, BOTH, LIMIT = "planned anew", "best of several devices", "limit"
UNLIMITED = 1e6
"""A speed at which nothing is left of a device's arithmetic."""
HELPS = 0.02
"""A faster device no longer helps where the best latency is within this part of that of an infinitely fast one."""
NOTICED = 0.01
"""The best plan counts as another one where the one before is slower than it by more than this part."""
_STEPS = 24
"""Halvings of an interval of speeds."""

Settings = tuple[str, ...]
Compute = Callable[[Sequence[Point]], Sequence[Found]]
"""Plans points, wherever that is done."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A plan at one value of what is varied.

    Attributes:
        value: Of what is varied.
        curve: What the plan stands for there.
        plan: The plan; None for the limit.
        seconds: What it takes, or what no plan beats.
        bound_s: No plan takes less, of those that exact planning searched and of the plan's own segments; None where
            that was not asked.
    """

    value: float
    curve: str
    plan: Plan | None
    seconds: float
    bound_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A speed at which something changes.

    Attributes:
        what: ``best plan changes`` or ``no longer helps``.
        speed: Where.
        seconds: The best latency there.
        plan: What is best from there on.
    """

    what: str
    speed: float
    seconds: float
    plan: Plan


def speed_settings(device: str, speed: float) -> Settings:
    """What makes a device so much faster than it is."""
    return () if speed == 1.0 else (f"{device}.speed={speed!r}",)


def bandwidth_settings(relative: float) -> Settings:
    """What makes the memory sustain so many times what it does."""
    return () if relative == 1.0 else (f"memory.bandwidth={relative!r}x",)


def count_settings(device: str, count: int) -> Settings:
    """What makes so many of a device."""
    return () if count == 1 else (f"{device}.count={count}",)


def over(
    base: Base,
    values: Sequence[float],
    settings_of: Callable[[float], Settings],
    compute: Compute,
    *,
    unchanged: str,
    max_evaluations: int,
    beyond: Sequence[float] = (),
) -> tuple[Candidates, list[Choice]]:
    """Curves over something that changes neither devices' names nor what they run, and all plans made for them.

    Args:
        base: What is changed.
        values: Of what is varied.
        settings_of: The changes that make a value.
        compute: Plans points.
        unchanged: What to call the plan that is best where nothing is changed.
        max_evaluations: Candidates that each search simulates.
        beyond: More values to plan for that have no place on the curves.
    """
    points = [
        Point(settings=settings_of(value), max_evaluations=max_evaluations) for value in sorted({*values, *beyond, 1.0})
    ]
    pool = candidates(base, compute(points))
    first = pool.fastest(())
    lines: list[Choice] = []
    for value in values:
        settings = settings_of(value)
        lines += choices(pool, settings, value, {unchanged: first})
    return pool, lines


def over_counts(
    base: Base, device: str, counts: Sequence[int], compute: Compute, *, unchanged: str, max_evaluations: int
) -> list[Choice]:
    """Curves over how many there are of a device. What was planned for fewer is a candidate for more."""
    points = [Point(settings=count_settings(device, count), max_evaluations=max_evaluations) for count in counts]
    found = compute(points)
    first = candidates(base, found[:1]).fastest(())
    lines: list[Choice] = []
    for number, (count, point) in enumerate(zip(counts, points, strict=True), 1):
        renamed = {device: f"{device}0"} if count > 1 else {}
        pool = candidates(base, found[:number], renamed)
        old = None if first is None else first.renamed(renamed)
        lines += choices(pool, point.settings, float(count), {unchanged: old}, renamed)
    return lines


def choices(
    pool: Candidates,
    settings: Settings,
    value: float,
    others: dict[str, Plan | None],
    renamed: dict[str, str] | None = None,
) -> list[Choice]:
    """At a value: the best plan, the best that needs several devices, other plans, devices alone, and the limit."""
    best = pool.fastest(settings)
    if best is None:  # nobody's plans run here, which no caller brings about
        raise PlanError(f"no plan runs where {', '.join(settings)}")
    plans = {BEST: best, BOTH: pool.fastest(settings, min_devices=2), **others}
    for device in base_problem(pool.base).platform.device_names:
        plans[f"{device} alone"] = pool.fastest(settings, (renamed or {}).get(device, device))
    lines = [
        Choice(
            value=value,
            curve=curve,
            plan=plan,
            seconds=pool.latency_s(settings, plan),
            bound_s=pool.bound_s(settings, plan) if curve == BEST else None,
        )
        for curve, plan in plans.items()
        if plan is not None
    ]
    return [*lines, Choice(value=value, curve=LIMIT, plan=None, seconds=pool.limit_s(settings))]


def turning_points(pool: Candidates, device: str, speeds: Sequence[float]) -> list[Turn]:
    """Where the best plan changes, from the slowest speed on, and where a faster device no longer helps.

    The best plan changes where another one, which is faster by more than :data:`NOTICED` at a later speed, begins to be
    faster. A faster device no longer helps from the least speed on at which the best latency is within :data:`HELPS`
    of that at :data:`UNLIMITED` speed.
    """

    def at(speed: float, plan: Plan) -> float:
        return pool.latency_s(speed_settings(device, speed), plan)

    def best(speed: float) -> Plan:
        plan = pool.fastest(speed_settings(device, speed))
        assert plan is not None
        return plan

    def overtakes(new: Plan, old: Plan, speed: float) -> bool:
        return at(speed, new) <= at(speed, old)

    rounds: list[Turn] = []
    now = best(speeds[0])
    for before, speed in pairwise(speeds):
        new = best(speed)
        if at(speed, now) > at(speed, new) * (1 + NOTICED):
            where = _first(partial(overtakes, new, now), before, speed)
            rounds.append(Turn(what="best plan changes", speed=where, seconds=at(where, new), plan=new))
            now = new
    enough_s = at(UNLIMITED, best(UNLIMITED)) * (1 + HELPS)
    where = _first(lambda s: at(s, best(s)) <= enough_s, speeds[0], UNLIMITED)
    return [*rounds, Turn(what="no longer helps", speed=where, seconds=at(where, best(where)), plan=best(where))]


def _first(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least speed from ``low`` to ``high`` at which something holds that holds at ``high``, and from then on."""
    if holds(low):
        return low
    for _ in range(_STEPS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
