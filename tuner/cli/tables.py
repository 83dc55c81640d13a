"""Tables of commands."""

from __future__ import annotations

from statistics import median

from rich.table import Table
from rich.text import Text

from hetsim.analysis.comparison import Comparison
from hetsim.core.platform import Platform
from hetsim.costs.problems import fitted
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.runtime.machine.drift import moves
from hetsim.tuner.cli.screen import say, screen


def print_slowest_segments(measured: Profile) -> None:
    """The slowest segments of each device."""
    table = Table("device", "segment", "operators", "median ms", "95 % interval", "samples", box=None)
    for device in measured.header.engines:
        slowest = sorted(
            ((measured.summary(device, ops), ops) for ops in measured.measured(device)),
            key=lambda entry: -(entry[0].median_s if entry[0] else 0.0),
        )
        for summary, ops in slowest[:8]:
            if summary is not None:
                table.add_row(
                    device,
                    ops[0],
                    str(len(ops)),
                    f"{summary.median_s * 1e3:.3f}",
                    f"{summary.low_s * 1e3:.3f} - {summary.high_s * 1e3:.3f}",
                    str(summary.num_samples),
                )
    screen().print(table)


def say_prediction_errors(measured: Profile, model: Model, platform: Platform) -> None:
    """How far off a segment is that is predicted from the others, and what devices refuse."""
    for device, left_out in fitted(model, platform, measured).left_out.items():
        if left_out:
            worst = max(left_out, key=lambda one: abs(one.relative_error))
            median_error = median(abs(one.relative_error) for one in left_out)
            say(
                f"{device}: segments of several operators, each predicted from the others: {median_error:.1%} off in "
                f"the median of {len(left_out)}, {abs(worst.relative_error):.0%} at worst (from {worst.ops[0]}, "
                f"{len(worst.ops)} operators)"
            )
    for device in measured.header.engines:
        for ops, reason in {**measured.unsupported(device), **measured.refused_alone(device)}.items():
            say(f"{device} refuses {ops[0]} ({len(ops)} operators): {reason}")


def print_moves(before: Platform, after: Platform, since: str) -> None:
    """Calibrated values that moved."""
    table = Table("moved since " + since, "before", "now", "ratio", box=None)
    for move in moves(before, after):
        table.add_row(Text(move.path), f"{move.before:.3g}", f"{move.after:.3g}", f"{move.ratio:.2f}")
    screen().print(table)


def print_comparison(comparison: Comparison, platform: Platform) -> None:
    """Where the difference between simulated and measured comes from."""
    parts = Table("part", "ms", box=None)
    parts.columns[1].justify = "right"
    parts.add_row("simulated", f"{comparison.simulated_s * 1e3:.3f}")
    for part, part_s in comparison.parts_s.items():
        parts.add_row(f"  {part}", f"{part_s * 1e3:+.3f}")
    parts.add_row("measured", f"{comparison.measured_s * 1e3:.3f}")
    screen().print(parts)
    labels = {device.name: device.label for device in platform.devices}
    spans = Table("device", "segment", "mostly", "simulated ms", "measured ms", "difference ms", box=None)
    for column in spans.columns[3:]:
        column.justify = "right"
    for span in comparison.worst():
        spans.add_row(
            labels[span.device],
            Text(span.label),  # operators may have any name, brackets too
            span.part,
            f"{span.simulated_s * 1e3:.3f}",
            f"{span.measured_s * 1e3:.3f}",
            f"{span.difference_s * 1e3:+.3f}",
        )
    say("The spans that contribute most:")
    screen().print(spans)
