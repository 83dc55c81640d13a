"""What ``hetsim verify`` prints."""

from __future__ import annotations

from typing import get_args

from rich.table import Table
from rich.text import Text

from hetsim.analysis.verification.records import (
    DeviceFindings,
    Finding,
    OutputFinding,
    PlanFindings,
    Verdict,
    Verification,
)
from hetsim.tuner.cli.screen import say, screen

_NUM_REASONS = 5


def print_verification(found: Verification) -> None:
    """For each device and the plan: the first and the worst deviations, counts, and what was not compared."""
    for device in found.devices:
        _print_device(device)
    if found.plan is not None:
        _print_plan(found.plan)
    for label, reason in found.not_verified.items():
        say(f"{label} was not verified: {reason}")


def _print_device(device: DeviceFindings) -> None:
    tolerance = f"tolerance of an operator {device.tolerance:.0e} of its largest value"
    say(f"{device.label}: {device.engine}; {tolerance}")
    first = device.first_diverging
    _print_findings(device.shown, first, title="operator")
    counts = [f"{verdict} {number}" for verdict in get_args(Verdict) if (number := device.count(verdict))]
    say(f"  {len(device.ops)} operators: {', '.join(counts)}")
    _say_reasons(device.ops)
    for output in device.outputs:
        _say_output(output)
    if first is not None:
        say(f"  first diverging operator: {first}")


def _print_plan(plan: PlanFindings) -> None:
    say(f"plan {plan.plan}: {len(plan.segments)} segments")
    _print_findings(plan.shown, plan.first_diverging, title="segment")
    _say_reasons(plan.segments)
    for output in plan.outputs:
        _say_output(output)
    if plan.first_diverging is not None:
        first = plan.first_diverging
        say(f"  first diverging segment, on {first.device}: {first}")


def _print_findings(findings: tuple[Finding, ...], first: Finding | None, *, title: str) -> None:
    """The findings as a table, without those that equal the reference to the last bit."""
    table = Table(title, "", "verdict", "max abs", "relative", "cosine", "accumulated", box=None)
    table.columns[0].overflow = "fold"
    for column in table.columns[3:]:
        column.justify, column.no_wrap = "right", True
    for finding in findings:
        isolated, accumulated = finding.isolated, finding.accumulated
        deviation = None if isolated is None else isolated.deviation
        if deviation is not None and deviation.max_abs == 0:
            continue
        table.add_row(
            Text(finding.label),  # operators may have any name, brackets too
            finding.kind if title == "operator" else finding.device,
            f"{finding.verdict} first" if finding is first else finding.verdict,
            "" if deviation is None else f"{deviation.max_abs:.1e}",
            "" if deviation is None else f"{deviation.relative:.1e}",
            "" if deviation is None else f"{deviation.cosine:.6f}",
            "" if accumulated is None else f"{accumulated.deviation.relative:.1e}",
        )
    if table.row_count:
        screen().print(table)


def _say_reasons(findings: tuple[Finding, ...]) -> None:
    """Why operators were refused or failed: each reason once, with the first operator and the number of others."""
    by_reason: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        if finding.reason:
            reason = finding.reason.replace(repr(finding.label), "it")
            by_reason.setdefault((finding.verdict, finding.kind, reason), []).append(finding)
    for number, ((verdict, kind, reason), same) in enumerate(by_reason.items()):
        if number == _NUM_REASONS:
            say(f"  {len(by_reason) - number} more reasons in verify.json")
            return
        others = f" and {len(same) - 1} more" if len(same) > 1 else ""
        say(f"  {verdict}: {same[0].label!r}{others}{f' ({kind})' if kind else ''}: {reason}")


def _say_output(output: OutputFinding) -> None:
    deviation = output.difference.deviation
    text = f"  output {output.tensor!r}: max abs {deviation.max_abs:.1e}, relative {deviation.relative:.1e}"
    text += f", cosine {deviation.cosine:.6f}"
    if output.top1 is not None:
        text += f", top-1 agreement {output.top1:.0%}".replace("%", " %")
    if output.diverges:
        text += f"; diverges: {output.difference}"
    say(text)
