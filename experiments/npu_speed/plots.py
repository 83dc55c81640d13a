"""The pictures of the experiment ``npu_speed``, each drawn from its CSV alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from experiments.npu_speed.rows import BandwidthLine, CountLine, MapLine, SpeedLine, TurningLine
from experiments.shared.records import read_rows
from experiments.sweeps.hypothetical_curves import BEST, LIMIT, LIMIT_WITHOUT_SPLITS
from hetsim.analysis.plots.curves import Curve, Mark, Measurement, draw_curves, times
from hetsim.analysis.plots.heat import draw_heat_map

MAP_SCALE_PERCENT = 100.0
"""The gain with the darkest colour of a map, the same in all maps; two equal devices gain no more."""


class CurveLine(Protocol):
    """A line that is a point of a curve."""

    @property
    def model(self) -> str:
        """The network."""
        ...

    @property
    def curve(self) -> str:
        """The curve that it belongs to."""
        ...

    @property
    def simulated_s(self) -> float:
        """Simulated latency."""
        ...


LineT = TypeVar("LineT", bound=CurveLine)


def draw_all(out: Path) -> None:
    """Draw the pictures of a folder's CSVs; several models have a folder each, beside a comparison.

    Raises:
        HetsimError: If a CSV is malformed.
        OSError: If a file cannot be read or written.
    """
    speeds = read_rows(out / "npu_speed.csv", SpeedLine)
    planned = [replace(line, simulated_s=line.predicted_s) for line in speeds]  # executed plans like the others
    turning_points = read_rows(out / "turning_points.csv", TurningLine)
    counts = read_rows(out / "npu_count.csv", CountLine)
    bandwidths = read_rows(out / "memory_bandwidth.csv", BandwidthLine)
    cells = read_rows(out / "speed_bandwidth.csv", MapLine)
    models = list(dict.fromkeys(line.model for line in speeds))
    if len(models) > 1:
        best = [
            _curve([line for line in planned if (line.model, line.curve) == (model, BEST)], model, _speed)
            for model in models
        ]
        _draw_speeds(best, speeds, out / "npu_speed.png", "Latency of the best plan")
    for model in models:
        folder = out if len(models) == 1 else out / model
        own = [line for line in planned if line.model == model]
        marks = [
            _mark(point)
            for point in turning_points
            if point.model == model and own[0].speed <= point.speed <= own[-1].speed
        ]
        _draw_speeds(_curves(own, _speed), own, folder / "npu_speed.png", model, marks)
        _draw_executed([line for line in speeds if line.model == model], folder / "npu_speed_executed.png")
        _draw_counts([line for line in counts if line.model == model], folder / "npu_count.png")
        _draw_bandwidths([line for line in bandwidths if line.model == model], folder / "memory_bandwidth.png")
        _draw_map([line for line in cells if line.model == model], folder / "speed_bandwidth.png")


def _speed(line: SpeedLine) -> float:
    return line.speed


def _curves(lines: Sequence[LineT], value: Callable[[LineT], float]) -> list[Curve]:
    """The curves that the lines belong to, limits last."""
    names = sorted(dict.fromkeys(line.curve for line in lines), key=(LIMIT_WITHOUT_SPLITS, LIMIT).__contains__)
    load_alone = LIMIT_WITHOUT_SPLITS in names  # operators that are split are on no critical path as a whole
    return [_curve([line for line in lines if line.curve == name], name, value, load_alone) for name in names]


def _curve(lines: Sequence[LineT], label: str, value: Callable[[LineT], float], load_alone: bool = False) -> Curve:
    shown = [line for line in lines if line.simulated_s > 0]  # a logarithmic scale has no place for a limit of 0
    bounds = {LIMIT: "load" if load_alone else "critical path, load", LIMIT_WITHOUT_SPLITS: "critical path, load"}
    return Curve(
        label=f"{label}: {bounds[label]}" if label in bounds else label,
        values=tuple(value(line) for line in shown),
        latencies_s=tuple(line.simulated_s for line in shown),
        dashed=label in bounds,
    )


def _mark(point: TurningLine) -> Mark:
    """The mark of a turning point on the axis of speeds."""
    speed = times(float(f"{point.speed:.3g}"))
    if point.what == "no longer helps":
        return Mark(value=point.speed, label=f"{speed}: within 2 % of infinitely fast")
    ops_by_device = point.description.partition(" of ")[0]
    return Mark(value=point.speed, label=f"{speed}: {ops_by_device}")


def _draw_speeds(
    curves: Sequence[Curve], lines: Sequence[SpeedLine], path: Path, what: str, marks: Sequence[Mark] = ()
) -> None:
    device = lines[0].device
    draw_curves(
        curves,
        path,
        title=f"{what} on {lines[0].platform}, {device.split()[0]} of any speed",
        subtitle="dotted: where the best plan changes, with its operators by device" if marks else "",
        x_label=f"Speed of {device}, relative to {device.split()[0]} as measured",
        marks=marks,
    )


def _draw_executed(lines: Sequence[SpeedLine], path: Path) -> None:
    """Draw simulated latencies as lines and measured ones as rings with intervals, if plans were executed."""
    executed = [line for line in lines if line.measured_s is not None]
    if not executed:
        return
    curves = []
    for name in dict.fromkeys(line.curve for line in executed):
        own = [line for line in executed if line.curve == name]
        curves.append(
            Curve(
                label=name,
                values=tuple(line.speed for line in own),
                latencies_s=tuple(line.simulated_s for line in own),
                measured=tuple(
                    Measurement(
                        value=line.speed,
                        seconds=line.measured_s or 0.0,
                        low_s=line.measured_low_s or 0.0,
                        high_s=line.measured_high_s or 0.0,
                    )
                    for line in own
                ),
            )
        )
    device = executed[0].device
    emulated = device.replace("hypothetical", "emulated")
    draw_curves(
        curves,
        path,
        title=f"{executed[0].model} on {executed[0].platform}: simulated and executed",
        subtitle=f"lines: simulated; rings: executed beside {emulated}, median and its 95 % confidence interval",
        x_label=f"Speed of {device}, relative to {device.split()[0]} as measured",
        y_label="Latency (ms)",
    )


def _draw_counts(lines: Sequence[CountLine], path: Path) -> None:
    if not lines:
        return
    device = lines[0].device
    draw_curves(
        _curves(lines, lambda line: float(line.num_npus)),
        path,
        title=f"{lines[0].model} on {lines[0].platform} with more than one {device.split()[0]}",
        x_label=f"Number of {device}",
        tick=lambda value: f"{value:g}",
        counted=True,
    )


def _draw_bandwidths(lines: Sequence[BandwidthLine], path: Path) -> None:
    if not lines:
        return
    measured = lines[0].bandwidth_bytes_per_s / lines[0].relative_bandwidth
    draw_curves(
        _curves(lines, lambda line: line.relative_bandwidth),
        path,
        title=f"{lines[0].model} on {lines[0].platform}, memory of any bandwidth",
        x_label=f"Bandwidth of a hypothetical memory, relative to {measured / 1e9:.1f} GB/s as measured",
    )


def _draw_map(lines: Sequence[MapLine], path: Path) -> None:
    cells = {(line.relative_bandwidth, line.speed): line for line in lines if line.gain_percent is not None}
    if not cells:
        return
    rows = sorted({bandwidth for bandwidth, _ in cells})
    columns = sorted({speed for _, speed in cells})
    first = lines[0]
    bandwidths = {line.relative_bandwidth: line.bandwidth_bytes_per_s for line in lines}
    draw_heat_map(
        [times(speed) for speed in columns],
        [f"{bandwidths[row] / 1e9:.3g}" for row in rows],
        [[cells[row, speed].gain_percent or 0.0 for speed in columns] for row in rows],
        path,
        title=f"{first.model} on {first.platform}: gain of the best plan",
        subtitle=f"in percent, over the best single device; simulated; colours from 0 to {MAP_SCALE_PERCENT:.0f} %",
        largest=MAP_SCALE_PERCENT,
        x_label=f"Speed of {first.device}, relative to {first.device.split()[0]} as measured",
        y_label="Hypothetical memory (GB/s)",
    )
