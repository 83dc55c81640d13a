"""One model on hypothetical machines: all lines of the experiment ``npu_speed``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from experiments.npu_speed.execution import Executed, SpeedPlans, execute_speeds
from experiments.npu_speed.rows import BandwidthLine, CountLine, MapLine, SpeedLine, TurningLine
from experiments.sweeps.hypothetical_curves import (
    UNLIMITED,
    Choice,
    Settings,
    TurningPoint,
    bandwidth_settings,
    curves_over,
    curves_over_counts,
    speed_settings,
    turning_points,
)
from experiments.sweeps.hypothetical_points import (
    Base,
    Candidates,
    Point,
    PointPlans,
    base_problem,
    plan_point,
    problem_at,
)
from experiments.sweeps.sweep import sweep
from experiments.sweeps.workers import Workers
from hetsim.analysis.breakdown import devices_by_op
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.tuner.options import Pace
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.expected_outputs import find_expected_outputs

UNCHANGED, UNCHANGED_ONE = "best at 1x, unchanged", "best with one, unchanged"
EXECUTED_SPEEDS = (0.5, 8.0)
"""Lowest and highest speed at which plans are executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """The varied device, and the values of what is varied.

    Attributes:
        device: Name of the varied device.
        speeds: Speeds relative to the device as measured; positive, ascending.
        counts: Numbers of devices like it, ascending from 1; empty leaves this sweep out.
        bandwidths: Bandwidths relative to the memory as measured; empty leaves out this sweep and the map.
        map_speeds: Speeds of the map.
        execute: Whether plans are executed at :data:`EXECUTED_SPEEDS` and between them.
    """

    device: str
    speeds: tuple[float, ...]
    counts: tuple[int, ...] = ()
    bandwidths: tuple[float, ...] = ()
    map_speeds: tuple[float, ...] = ()
    execute: bool = False


@dataclass(frozen=True, kw_only=True)
class Lines:
    """All lines of one model, by CSV."""

    speed: list[SpeedLine]
    count: list[CountLine]
    bandwidth: list[BandwidthLine]
    map: list[MapLine]
    turning: list[TurningLine]


class _SharedFields(TypedDict):
    """The fields that lines of npu_speed.csv, npu_count.csv and memory_bandwidth.csv share."""

    model: str
    platform: str
    scheduler: str
    simulated_s: float
    num_segments: int
    curve: str
    device: str
    plan_id: str | None
    bound_s: float | None


class Study:
    """One model on hypothetical machines.

    Args:
        model: The model.
        base: The model and machine that are changed.
        varied: The varied device, and the values.
        folder: Gets the plans of all points, and the serial replays of executed plans.
        max_evaluations: Candidates that each search simulates.
        pace: How often plans are executed.
        workers: Make the plans; None stands for this process.
        stages: Where progress is shown.
    """

    def __init__(
        self,
        model: Model,
        base: Base,
        varied: Variations,
        folder: Path,
        *,
        max_evaluations: int,
        pace: Pace,
        workers: Workers | None,
        stages: Stages,
    ) -> None:
        self._model = model
        self._base = base
        self._varied = varied
        self._folder = folder
        self._max_evaluations = max_evaluations
        self._pace = pace
        self._workers = workers
        self._stages = stages
        problem = base_problem(base)
        self._platform = problem.platform.name
        self._has_traffic = problem.traffic_function is not None
        self._label = replace(problem.platform.device(varied.device), nature="hypothetical").label
        self._memory_bytes_per_s = problem.platform.memory.shared_bytes_per_s

    def lines(self, platform: Platform, profile: Profile | None) -> Lines:
        """All lines of the model; plans at the executed speeds are executed if the variations ask for it.

        Raises:
            HetsimError: If no plan runs on a changed machine, or a device failed.
        """
        pool, speeds = self._over_speeds()
        executed = self._execute(speeds, platform, profile) if self._varied.execute and profile else {}
        counts = self._over_counts()
        bandwidths = self._over_bandwidths()
        points = turning_points(pool, self._varied.device, self._varied.speeds)
        return Lines(
            speed=[self._speed_line(choice, executed) for choice in speeds],
            count=[CountLine(num_npus=int(choice.value), **self._shared_fields(choice)) for choice in counts],
            bandwidth=[
                BandwidthLine(
                    relative_bandwidth=choice.value,
                    bandwidth_bytes_per_s=choice.value * self._memory_bytes_per_s,
                    **self._shared_fields(choice),
                )
                for choice in bandwidths
            ],
            map=self._map_lines(pool) if bandwidths else [],
            turning=[self._turning_line(point) for point in points],
        )

    def _over_speeds(self) -> tuple[Candidates, list[Choice]]:
        return curves_over(
            self._base,
            self._varied.speeds,
            partial(speed_settings, self._varied.device),
            partial(self._compute, "speeds"),
            unchanged=UNCHANGED,
            max_evaluations=self._max_evaluations,
            beyond=(UNLIMITED,),
        )

    def _over_counts(self) -> list[Choice]:
        if not self._varied.counts:
            return []
        return curves_over_counts(
            self._base,
            self._varied.device,
            self._varied.counts,
            partial(self._compute, "counts"),
            unchanged=UNCHANGED_ONE,
            max_evaluations=self._max_evaluations,
        )

    def _over_bandwidths(self) -> list[Choice]:
        if not self._varied.bandwidths:
            return []
        if not self._has_traffic:
            self._stages.say(
                f"{self._model.name}: the platform does not state its memory's bandwidth; it is not varied"
            )
            return []
        _, choices = curves_over(
            self._base,
            self._varied.bandwidths,
            bandwidth_settings,
            partial(self._compute, "bandwidths"),
            unchanged=UNCHANGED,
            max_evaluations=self._max_evaluations,
        )
        return choices

    def _compute(self, name: str, points: Sequence[Point]) -> list[PointPlans]:
        """The plans of points; they are stored in ``NAME.jsonl``, so that a killed sweep can be resumed."""
        digest = hashlib.sha256(self._base.platform.encode() + _content(self._base.profile))
        with self._stages.stage(f"plan {self._model.name}, {name}") as report:
            return sweep(
                partial(plan_point, self._base),
                points,
                PointPlans,
                workers=self._workers,
                path=self._folder / f"{name}.jsonl",
                settings={"seed": self._base.seed, "platform_and_profile": digest.hexdigest()},
                report=report,
            )

    def _execute(
        self, choices: Sequence[Choice], platform: Platform, profile: Profile
    ) -> dict[tuple[float, str], Executed]:
        """The executions of the plans at speeds that are executed, by speed and plan."""
        slowest, fastest = EXECUTED_SPEEDS
        plans: dict[float, dict[str, Plan]] = {}
        for choice in choices:
            if slowest <= choice.value <= fastest and choice.plan is not None:
                plans.setdefault(choice.value, {}).setdefault(choice.plan.digest, choice.plan)
        if not plans:
            return {}
        device = self._varied.device
        return execute_speeds(
            self._model,
            platform,
            device,
            [
                SpeedPlans(
                    speed=speed,
                    problem=problem_at(self._base, speed_settings(device, speed)),
                    plans=list(by_digest.values()),
                )
                for speed, by_digest in plans.items()
            ],
            self._folder / "executed",
            expected=find_expected_outputs(self._model, seed=self._base.seed),
            profile=profile,
            pace=self._pace,
            stages=self._stages,
        )

    def _speed_line(self, choice: Choice, executed: Mapping[tuple[float, str], Executed]) -> SpeedLine:
        line = SpeedLine(
            speed=choice.value,
            measured_s=None,
            predicted_s=choice.seconds,
            num_devices=0 if choice.plan is None else len(choice.plan.queues),
            **self._shared_fields(choice),
        )
        found = None if choice.plan is None else executed.get((choice.value, choice.plan.digest))
        if found is None:
            return line
        return replace(
            line,
            simulated_s=found.simulated_s,
            measured_s=found.execution.latency.median_s,
            measured_low_s=found.execution.latency.low_s,
            measured_high_s=found.execution.latency.high_s,
            largest_error=found.execution.largest_error,
        )

    def _shared_fields(self, choice: Choice) -> _SharedFields:
        plan = choice.plan
        return _SharedFields(
            model=self._model.name,
            platform=self._platform,
            scheduler="bounds" if plan is None else plan.scheduler,
            simulated_s=choice.seconds,
            num_segments=0 if plan is None else plan.num_segments,
            curve=choice.curve,
            device=self._label,
            plan_id=None if plan is None else plan.digest,
            bound_s=choice.bound_s,
        )

    def _map_lines(self, pool: Candidates) -> list[MapLine]:
        """Lines for all pairs of speed and bandwidth; plans come from exact planning at each pair and from ``pool``."""
        device = self._varied.device

        def settings(speed: float, bandwidth: float) -> Settings:
            return (*speed_settings(device, speed), *bandwidth_settings(bandwidth))

        pairs = [(speed, bandwidth) for bandwidth in self._varied.bandwidths for speed in self._varied.map_speeds]
        found = self._compute("map", [Point(settings=settings(*pair), schedulers=()) for pair in pairs])
        all_plans = pool.joined(found)
        lines = []
        for speed, bandwidth in pairs:
            changes = settings(speed, bandwidth)
            best = all_plans.fastest(changes)
            assert best is not None
            best_s = all_plans.latency_s(changes, best)
            names = base_problem(self._base).platform.device_names
            alone = [(name, all_plans.fastest(changes, name)) for name in names]
            times: list[tuple[float | None, str | None]] = [
                (all_plans.latency_s(changes, plan), name) for name, plan in alone if plan is not None
            ]
            single_s, single = min(times, default=(None, None))
            lines.append(
                MapLine(
                    model=self._model.name,
                    platform=self._platform,
                    speed=speed,
                    relative_bandwidth=bandwidth,
                    bandwidth_bytes_per_s=bandwidth * self._memory_bytes_per_s,
                    scheduler=best.scheduler,
                    simulated_s=best_s,
                    single=single,
                    single_s=single_s,
                    gain_percent=None if single_s is None else (single_s / best_s - 1) * 100,
                    device=self._label,
                    plan_id=best.digest,
                )
            )
        return lines

    def _turning_line(self, point: TurningPoint) -> TurningLine:
        plan = point.plan
        devices_of = devices_by_op(base_problem(self._base).for_plan(plan).graph, plan)
        num_ops = {name: sum(devices == {name} for devices in devices_of.values()) for name in plan.queues}
        shared = len(devices_of) - sum(num_ops.values())
        by_device = ", ".join(f"{count} on {device}" for device, count in num_ops.items() if count)
        by_device += f"{', ' if by_device else ''}{shared} in parts" if shared else ""
        return TurningLine(
            model=self._model.name,
            platform=self._platform,
            what=point.what,
            speed=point.speed,
            latency_s=point.seconds,
            plan_id=plan.digest,
            scheduler=plan.scheduler,
            description=f"{by_device} of {len(devices_of)} operators in {plan.num_segments} segments",
        )


def _content(path: str) -> bytes:
    return Path(path).read_bytes() if path else b""
