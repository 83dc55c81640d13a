"""Curves of the best plan over a varied property of a hypothetical machine, and the turning points of such a curve.

Plans are made at every point of a curve; each point takes its best plan from all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from experiments.sweeps.hypothetical_points import Base, Candidates, Point, PointPlans, base_problem, candidates
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan

BEST, WITHOUT_SPLITS = "planned anew", "planned anew without splits"
BEST_OF_SEVERAL, LIMIT, LIMIT_WITHOUT_SPLITS = "best of several devices", "limit", "limit without splits"
"""Names of curves. Where no plan splits an operator, those without splits are left out, as they would be the same."""
UNLIMITED = 1e6
"""A speed at which a device's arithmetic takes no time worth mentioning."""
SATURATION = 0.02
"""A faster device no longer helps if the best latency exceeds that with an infinitely fast device by less than this
part."""
MIN_GAIN = 0.01
"""The best plan counts as changed if the one before is slower by more than this part."""
_NUM_HALVINGS = 24

Settings = tuple[str, ...]
Compute = Callable[[Sequence[Point]], Sequence[PointPlans]]
"""Makes the plans of points, in this process or in others."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A plan at one value of what is varied: a point of a curve.

    Attributes:
        value: The value.
        curve: The curve that the point belongs to.
        plan: The plan; None for the limit.
        seconds: Simulated latency of the plan; for the limit, a lower bound of all latencies.
        bound_s: Lower bound over plans of exact planning's space and of the segments of ``plan``; None on curves other
            than that of the best plan.
    """

    value: float
    curve: str
    plan: Plan | None
    seconds: float
    bound_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class TurningPoint:
    """A speed at which the best plan changes, or from which on a faster device no longer helps.

    Attributes:
        what: ``best plan changes`` or ``no longer helps``.
        speed: The speed.
        seconds: The best latency at this speed.
        plan: The best plan from this speed on.
    """

    what: str
    speed: float
    seconds: float
    plan: Plan


def speed_settings(device: str, speed: float) -> Settings:
    """The changes that make a device ``speed`` times as fast."""
    return () if speed == 1.0 else (f"{device}.speed={speed!r}",)


def bandwidth_settings(relative: float) -> Settings:
    """The changes that make the memory's bandwidth ``relative`` times as high."""
    return () if relative == 1.0 else (f"memory.bandwidth={relative!r}x",)


def count_settings(device: str, count: int) -> Settings:
    """The changes that replace a device by ``count`` devices like it."""
    return () if count == 1 else (f"{device}.count={count}",)


def curves_over(
    base: Base,
    values: Sequence[float],
    settings_of: Callable[[float], Settings],
    compute: Compute,
    *,
    unchanged: str,
    max_evaluations: int,
    beyond: Sequence[float] = (),
) -> tuple[Candidates, list[Choice]]:
    """All plans that were made, and the curves over a property that changes neither names nor abilities of devices.

    Args:
        base: The model and machine that are changed.
        values: Values of the property.
        settings_of: The changes that make a value.
        compute: Makes the plans of points.
        unchanged: The name of the curve of the plan that is best on the unchanged machine.
        max_evaluations: Candidates that each search simulates.
        beyond: More values to plan for, which are not on the curves.
    """
    points = [
        Point(settings=settings_of(value), max_evaluations=max_evaluations) for value in sorted({*values, *beyond, 1.0})
    ]
    pool = candidates(base, compute(points))
    first = pool.fastest(())
    curves: list[Choice] = []
    for value in values:
        curves += choices_at(pool, settings_of(value), value, {unchanged: first})
    return pool, curves


def curves_over_counts(
    base: Base, device: str, counts: Sequence[int], compute: Compute, *, unchanged: str, max_evaluations: int
) -> list[Choice]:
    """Curves over the number of devices like ``device``; plans for fewer devices are candidates for more devices."""
    points = [Point(settings=count_settings(device, count), max_evaluations=max_evaluations) for count in counts]
    found = compute(points)
    first = candidates(base, found[:1]).fastest(())
    curves: list[Choice] = []
    for number, (count, point) in enumerate(zip(counts, points, strict=True), 1):
        renamed = {device: f"{device}0"} if count > 1 else {}
        pool = candidates(base, found[:number], renamed)
        best_with_one = None if first is None else first.renamed(renamed)
        curves += choices_at(pool, point.settings, float(count), {unchanged: best_with_one}, renamed)
    return curves


def choices_at(
    pool: Candidates,
    settings: Settings,
    value: float,
    others: dict[str, Plan | None],
    renamed: dict[str, str] | None = None,
) -> list[Choice]:
    """The points of all curves at a value: the best plan, with splits and without, the best on several devices,
    ``others``, single devices, limits.

    Args:
        pool: The plans to choose from.
        settings: The changes that make the value.
        value: The value.
        others: By curve, another plan; None leaves the curve out.
        renamed: By device, its name on the changed machine if that differs.

    Raises:
        PlanError: If the changed machine runs none of the plans.
    """
    best = pool.fastest(settings)
    if best is None:
        raise PlanError(f"no plan runs where {', '.join(settings)}")
    plans = {BEST: best, BEST_OF_SEVERAL: pool.fastest(settings, min_devices=2), **others}
    if pool.has_splits:
        plans[WITHOUT_SPLITS] = pool.fastest(settings, splits=False)
    for device in base_problem(pool.base).platform.device_names:
        plans[f"{device} alone"] = pool.fastest(settings, (renamed or {}).get(device, device))
    choices = [
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
    limits = {LIMIT: pool.has_splits, **({LIMIT_WITHOUT_SPLITS: False} if pool.has_splits else {})}
    for curve, splits in limits.items():
        choices.append(Choice(value=value, curve=curve, plan=None, seconds=pool.limit_s(settings, splits=splits)))
    return choices


def turning_points(pool: Candidates, device: str, speeds: Sequence[float]) -> list[TurningPoint]:
    """The speeds at which the best plan changes, ascending, then the speed from which on a faster device does not help.

    The best plan changes where another plan begins to be faster, if that one is faster by more than :data:`MIN_GAIN` at
    the next of ``speeds``. A faster device no longer helps from the lowest speed on at which the best latency is within
    :data:`SATURATION` of that at :data:`UNLIMITED` speed.
    """

    def latency_s(speed: float, plan: Plan) -> float:
        return pool.latency_s(speed_settings(device, speed), plan)

    def best_at(speed: float) -> Plan:
        plan = pool.fastest(speed_settings(device, speed))
        assert plan is not None
        return plan

    def overtakes(new: Plan, old: Plan, speed: float) -> bool:
        return latency_s(speed, new) <= latency_s(speed, old)

    found: list[TurningPoint] = []
    best = best_at(speeds[0])
    for lower, upper in pairwise(speeds):
        new = best_at(upper)
        if latency_s(upper, best) > latency_s(upper, new) * (1 + MIN_GAIN):
            speed = _lowest(partial(overtakes, new, best), lower, upper)
            found.append(TurningPoint(what="best plan changes", speed=speed, seconds=latency_s(speed, new), plan=new))
            best = new
    enough_s = latency_s(UNLIMITED, best_at(UNLIMITED)) * (1 + SATURATION)
    speed = _lowest(lambda s: latency_s(s, best_at(s)) <= enough_s, speeds[0], UNLIMITED)
    last = best_at(speed)
    return [*found, TurningPoint(what="no longer helps", speed=speed, seconds=latency_s(speed, last), plan=last)]


def _lowest(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The lowest speed from ``low`` to ``high`` at which a condition holds that also holds at all higher speeds."""
    if holds(low):
        return low
    for _ in range(_NUM_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
