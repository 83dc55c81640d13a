"""What the experiment ``npu_speed`` writes: the lines of its CSVs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """A line of npu_speed.csv: a plan at one speed of the device.

    Attributes:
        model: The network.
        platform: The devices.
        speed: How many times faster than as measured the device's arithmetic is taken to be.
        scheduler: Who made the plan; ``bounds`` for the limit.
        simulated_s: Simulated latency. Of an executed plan from its own serial replay beside the emulated device, else
            from the profile alone.
        num_segments: Compiled units; 0 for the limit.
        measured_s: Median latency of executions beside the emulated device, or None.
        curve: What the plan stands for: ``planned anew``, the best of all; ``best of several devices``;
            ``best at 1x, unchanged``; ``DEVICE alone``; or ``limit``: no plan takes less, by critical path and load.
        device: The device whose speed is varied, as people should see it.
        plan_id: The plan's digest: where it changes from one speed to the next, so does the plan. None for the limit.
        predicted_s: Simulated from the profile alone.
        bound_s: No plan takes less, of those that exact planning searched and of the plan's own segments; None but for
            the plan that is best.
        num_devices: Devices that have work in the plan.
        measured_low_s: Lower end of the 95 % confidence interval of the median.
        measured_high_s: Upper end of it.
        largest_error: How far outputs were from the right ones, relative to the largest.
    """

    model: str
    platform: str
    speed: float
    scheduler: str
    simulated_s: float
    num_segments: int
    measured_s: float | None
    curve: str
    device: str
    plan_id: str | None
    predicted_s: float
    bound_s: float | None
    num_devices: int
    measured_low_s: float | None = None
    measured_high_s: float | None = None
    largest_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLine:
    """A line of npu_count.csv: a plan for so many of the device; other fields as in :class:`SpeedLine`."""

    model: str
    platform: str
    num_npus: int
    scheduler: str
    simulated_s: float
    num_segments: int
    curve: str
    device: str
    plan_id: str | None
    bound_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BandwidthLine:
    """A line of memory_bandwidth.csv: a plan on a memory that sustains so much; other fields as in :class:`SpeedLine`.

    Attributes:
        relative_bandwidth: How many times what the memory sustains as measured.
        bandwidth_bytes_per_s: What it sustains.
    """

    model: str
    platform: str
    relative_bandwidth: float
    bandwidth_bytes_per_s: float
    scheduler: str
    simulated_s: float
    num_segments: int
    curve: str
    device: str
    plan_id: str | None
    bound_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLine:
    """A line of speed_bandwidth.csv: the best plan at a speed on a memory.

    Attributes:
        model: The network.
        platform: The devices.
        speed: How many times faster than as measured the device is taken to be.
        relative_bandwidth: How many times what the memory sustains as measured.
        bandwidth_bytes_per_s: What it sustains.
        scheduler: Who made the best plan.
        simulated_s: What it takes.
        single: The best single device; None where none runs all.
        single_s: What that takes, or None.
        gain_percent: By how much more of its time the best single device takes than the best plan, or None.
        device: The device whose speed is varied, as people should see it.
        plan_id: The plan's digest.
    """

    model: str
    platform: str
    speed: float
    relative_bandwidth: float
    bandwidth_bytes_per_s: float
    scheduler: str
    simulated_s: float
    single: str | None
    single_s: float | None
    gain_percent: float | None
    device: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurningLine:
    """A line of turning_points.csv: a speed at which something changes.

    Attributes:
        model: The network.
        platform: The devices.
        what: ``best plan changes``: at this speed the plan that was best and the one that is best next take equally
            long; or ``no longer helps``: the best latency is within 2 % of that of an infinitely fast device.
        speed: Relative to the device as measured.
        latency_s: The best latency there, simulated.
        plan_id: The plan that is best from there on.
        scheduler: The algorithm that made it.
        description: The plan in a few words: operators by device.
    """

    model: str
    platform: str
    what: str
    speed: float
    latency_s: float
    plan_id: str
    scheduler: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """A line of emulated_errors.csv: simulated against executed, in percent of what was measured.

    Attributes:
        model: The network, or ``all``.
        platform: The devices.
        plans: Which: ``all``, or those ``on both`` a real and the emulated device.
        num_plans: How many, each at its speed.
        mean_percent: Mean absolute error of ``simulated_s``.
        worst_percent: Largest absolute error of it.
        bias_percent: Mean error with its sign; above 0 where simulations are too slow.
        predicted_mean_percent: Mean absolute error of ``predicted_s``.
    """

    model: str
    platform: str
    plans: str
    num_plans: int
    mean_percent: float
    worst_percent: float
    bias_percent: float
    predicted_mean_percent: float
