"""Rows of the CSVs that the experiment ``npu_speed`` writes.

Columns have the order of the fields, which is why the rows do not inherit the fields that they share.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """A line of npu_speed.csv: a plan at one speed of the varied device.

    Attributes:
        model: The network.
        platform: The devices.
        speed: Assumed speed of the device's arithmetic, relative to the device as measured.
        scheduler: The scheduler that made the plan; ``bounds`` for the limit.
        simulated_s: Simulated latency. For an executed plan it comes from the plan's own serial replay beside the
            emulated device, else from the profile alone.
        num_segments: Compiled units of the plan; 0 for the limit.
        measured_s: Median latency of executions beside the emulated device, or None.
        curve: The curve that the line belongs to: ``planned anew``, the best plan; ``planned anew without splits``;
            ``best of several devices``; ``best at 1x, unchanged``; ``DEVICE alone``; ``limit``, a lower bound of them
            all; or ``limit without splits``, one by critical path and load. Where no plan splits an operator, the
            curves without splits are left out. If some do, ``limit`` is by load alone.
        device: Label of the varied device.
        plan_id: The plan's digest; None for the limit.
        predicted_s: Latency simulated from the profile alone.
        bound_s: Lower bound over plans of exact planning's space and of the segments of this plan; None on curves other
            than ``planned anew``.
        num_devices: Devices that the plan uses.
        measured_low_s: Lower end of the 95 % confidence interval of the median, or None.
        measured_high_s: Upper end of that interval, or None.
        largest_error: Largest deviation of the outputs from the expected ones, relative to the largest output, or None.
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
    """A line of npu_count.csv: a plan for several of the device. :class:`SpeedLine` explains the other fields.

    Attributes:
        num_npus: Number of devices like the varied one.
    """

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
    """A line of memory_bandwidth.csv: a plan for another memory. :class:`SpeedLine` explains the other fields.

    Attributes:
        relative_bandwidth: Assumed bandwidth of the memory, relative to the memory as measured.
        bandwidth_bytes_per_s: The same in bytes per second.
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
    """A line of speed_bandwidth.csv: the best plan for one speed of the device and one bandwidth of the memory.

    Attributes:
        model: The network.
        platform: The devices.
        speed: Assumed speed of the device, relative to the device as measured.
        relative_bandwidth: Assumed bandwidth of the memory, relative to the memory as measured.
        bandwidth_bytes_per_s: The same in bytes per second.
        scheduler: The scheduler that made the best plan.
        simulated_s: Simulated latency of the best plan.
        single: The best single device; None if no device runs the whole network.
        single_s: Simulated latency of that device alone, or None.
        gain_percent: Latency of the best single device over that of the best plan, less 1, in percent; or None.
        device: Label of the varied device.
        plan_id: Digest of the best plan.
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
    """A line of turning_points.csv: a speed at which the best plan changes, or from which on more speed does not help.

    Attributes:
        model: The network.
        platform: The devices.
        what: ``best plan changes``: the plans that are best below and above this speed take equally long at it; or ``no
            longer helps``: from this speed on, the best latency is within 2 % of that with an infinitely fast device.
        speed: The speed, relative to the device as measured.
        latency_s: Simulated latency of the best plan at this speed.
        plan_id: Digest of the plan that is best from this speed on.
        scheduler: The scheduler that made it.
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
    """A line of emulated_errors.csv: errors of simulated latencies, in percent of the measured ones.

    Attributes:
        model: The network, or ``all``.
        platform: The devices.
        plans: The plans that count: ``all``, or those ``on both`` a real and the emulated device.
        num_plans: Number of plans; a plan counts at each speed.
        mean_percent: Mean absolute error of ``simulated_s``.
        worst_percent: Largest absolute error of ``simulated_s``.
        bias_percent: Mean signed error of ``simulated_s``; positive if simulations are too slow.
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
