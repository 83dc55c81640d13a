"""One model on machines that nobody has: all lines of the experiment ``npu_speed``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict

from experiments.npu_speed.execution import Executed, execute_speeds
from experiments.npu_speed.rows import BandwidthLine, CountLine, MapLine, SpeedLine, TurningLine
from experiments.sweeps.hypothetical_curves import (
    UNLIMITED,
    Choice,
    Settings,
    Turn,
    bandwidth_settings,
    over,
    over_counts,
    speed_settings,
    turning_points,
)
from experiments.sweeps.hypothetical_points import Base, Candidates, Found, Point, base_problem, plan_point, problem_at
from experiments.sweeps.sweep import sweep
from experiments.sweeps.workers import Workers
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.tuner.options import Pace
from hetsim.tuner.progress import Stages
from hetsim.tuner.steps.expected_outputs import find_expected_outputs

UNCHANGED, UNCHANGED_ONE = "best at 1x, unchanged", "best with one, unchanged"
EXECUTED_SPEEDS = (0.5, 8.0)
"""Plans are executed at speeds from the one to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variations:
    """Which device is varied, and how.

    Attributes:
        device: Its name on the platform.
        speeds: Relative to the device as measured; positive, ascending.
        counts: How many there are of it, ascending from 1; none leaves that sweep out.
        bandwidths: Of the memory, relative to what it sustains as measured; none leaves out what varies it.
        map_speeds: Speeds of the map.
        execute: Whether plans are executed at the speeds that can be.
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


class _Common(TypedDict):
    """What lines of several CSVs have in common."""

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
        base: What is changed.
        varied: How.
        folder: Keeps what was found at points, and replays.
        max_evaluations: Candidates that each search simulates.
        pace: How often plans are executed.
        workers: Who plans; None stands for this process.
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
        platform = base_problem(base).platform
        self._platform = platform.name
        self._traffic = base_problem(base).traffic_function is not None
        self._label = replace(platform.device(varied.device), nature="hypothetical").label
        self._shared = platform.memory.shared_bytes_per_s

    def lines(self, platform: Platform, profile: Profile) -> Lines:
        """All lines; the plans of the speeds are executed if that is asked.

        Raises:
            HetsimError: If a device cannot do what is asked.
        """
        device, tries = self._varied.device, self._max_evaluations
        of_speed = partial(speed_settings, device)
        pool, speeds = over(
            self._base,
            self._varied.speeds,
            of_speed,
            partial(self._compute, "speeds"),
            unchanged=UNCHANGED,
            max_evaluations=tries,
            beyond=(UNLIMITED,),
        )
        executed = self._execute(speeds, platform, profile) if self._varied.execute else {}
        count: list[Choice] = []
        if self._varied.counts:
            compute = partial(self._compute, "counts")
            count = over_counts(
                self._base, device, self._varied.counts, compute, unchanged=UNCHANGED_ONE, max_evaluations=tries
            )
        bandwidth: list[Choice] = []
        if self._varied.bandwidths and not self._traffic:
            self._stages.say(
                f"{self._model.name}: the platform does not say what its memory sustains; it is not varied"
            )
        elif self._varied.bandwidths:
            compute = partial(self._compute, "bandwidths")
            _, bandwidth = over(
                self._base,
                self._varied.bandwidths,
                bandwidth_settings,
                compute,
                unchanged=UNCHANGED,
                max_evaluations=tries,
            )
        return Lines(
            speed=[self._speed_line(choice, executed) for choice in speeds],
            count=[CountLine(num_npus=int(choice.value), **self._common(choice)) for choice in count],
            bandwidth=[
                BandwidthLine(
                    relative_bandwidth=choice.value,
                    bandwidth_bytes_per_s=choice.value * self._shared,
                    **self._common(choice),
                )
                for choice in bandwidth
            ],
            map=self._map_lines(pool) if bandwidth else [],
            turning=[self._turning_line(round) for round in turning_points(pool, device, self._varied.speeds)],
        )

    def _compute(self, name: str, points: Sequence[Point]) -> list[Found]:
        """What is found at points; the folder keeps it, so that a killed sweep goes on."""
        rests_on = hashlib.sha256(self._base.platform.encode() + Path(self._base.profile).read_bytes())
        with self._stages.stage(f"plan {self._model.name}, {name}") as report:
            return sweep(
                partial(plan_point, self._base),
                points,
                Found,
                workers=self._workers,
                path=self._folder / f"{name}.jsonl",
                settings={"seed": self._base.seed, "platform_and_profile": rests_on.hexdigest()},
                report=report,
            )

    def _execute(
        self, choices: Sequence[Choice], platform: Platform, profile: Profile
    ) -> dict[tuple[float, str], Executed]:
        """What the plans take at the speeds that are executed."""
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
            {
                speed: (problem_at(self._base, speed_settings(device, speed)), list(own.values()))
                for speed, own in plans.items()
            },
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
            **self._common(choice),
        )
        run = None if choice.plan is None else executed.get((choice.value, choice.plan.digest))
        if run is None:
            return line
        return replace(
            line,
            simulated_s=run.simulated_s,
            measured_s=run.execution.latency.median_s,
            measured_low_s=run.execution.latency.low_s,
            measured_high_s=run.execution.latency.high_s,
            largest_error=run.execution.largest_error,
        )

    def _common(self, choice: Choice) -> _Common:
        plan = choice.plan
        return _Common(
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
        """Speed and memory together: exact planning at each point, and all plans made for any speed."""
        device = self._varied.device

        def settings(speed: float, bandwidth: float) -> Settings:
            return (*speed_settings(device, speed), *bandwidth_settings(bandwidth))

        pairs = [(speed, bandwidth) for bandwidth in self._varied.bandwidths for speed in self._varied.map_speeds]
        found = self._compute("map", [Point(settings=settings(*pair), schedulers=()) for pair in pairs])
        everyone = pool.joined(found)
        lines = []
        for speed, bandwidth in pairs:
            here = settings(speed, bandwidth)
            best = everyone.fastest(here)
            assert best is not None
            best_s = everyone.latency_s(here, best)
            names = base_problem(self._base).platform.device_names
            alone = [(name, everyone.fastest(here, name)) for name in names]
            times: list[tuple[float | None, str | None]] = [
                (everyone.latency_s(here, plan), name) for name, plan in alone if plan is not None
            ]
            single_s, single = min(times, default=(None, None))
            lines.append(
                MapLine(
                    model=self._model.name,
                    platform=self._platform,
                    speed=speed,
                    relative_bandwidth=bandwidth,
                    bandwidth_bytes_per_s=bandwidth * self._shared,
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

    def _turning_line(self, round: Turn) -> TurningLine:
        ops = {device: sum(len(s.ops) for s in queue) for device, queue in round.plan.queues.items()}
        description = ", ".join(f"{count} on {device}" for device, count in ops.items())
        return TurningLine(
            model=self._model.name,
            platform=self._platform,
            what=round.what,
            speed=round.speed,
            latency_s=round.seconds,
            plan_id=round.plan.digest,
            scheduler=round.plan.scheduler,
            description=f"{description} of {sum(ops.values())} operators in {round.plan.num_segments} segments",
        )
