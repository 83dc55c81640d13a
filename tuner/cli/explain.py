"""Why a plan takes as long as it does: its critical path, and what would shorten it, as it stands and planned anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetsim.analysis.scenario import Scenario
from hetsim.analysis.sensitivity import Effect
from hetsim.core.platform import Platform
from hetsim.tuner.explanation import Explanation, Replanned

SAME, ANEW = "the same plan", "planned anew"


def print_explanation(found: Explanation, screen: Console) -> None:
    """The table, with lines above and below it."""
    first, *others = summary_lines(found)
    _say(first, screen)
    _print_table(found, screen)
    for line in others:
        _say(line, screen)


def _say(line: str, screen: Console) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)


def _print_table(found: Explanation, screen: Console) -> None:
    before_s = found.timeline.makespan_s
    again = {entry.scenario: entry for entry in found.replanned}
    table = Table(f"{_faster(found)} faster", "path ms", "saves ms", "", box=None)
    if found.best_s is not None:
        table.add_column("anew ms")
        table.add_column("")
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for effect in found.shown:
        on_path = "" if effect.change.kind == "memory" else f"{effect.on_path_s * 1e3:.3f}"
        cells = [on_path, f"{effect.saved_s * 1e3:.3f}", _percent(effect.saved_s, before_s)]
        entry = again.get(effect.scenario)
        if entry is not None and found.best_s is not None:
            cells += [f"{entry.saved_s * 1e3:.3f}", _percent(entry.saved_s, found.best_s)]
        table.add_row(
            Text(_label(effect.scenario, found.platform)), *cells
        )  # operators may have any name, brackets too
    screen.print(table)


def summary_lines(found: Explanation) -> tuple[str, ...]:
    """What is above and below the table."""
    path, before_s = found.path, found.timeline.makespan_s
    num_segments = len(path.segments)
    devices = dict.fromkeys(segment.device for segment in path.segments)
    parts = [f"{path.on_device_s(name) * 1e3:.2f} ms on {name}" for name in devices]
    handed_s = sum(span.duration_s for span in path.spans if span.kind == "hand-over")
    if handed_s:
        parts.append(f"{handed_s * 1e3:.2f} ms handing over")
    num_idle = sum(effect.saved_s == 0 for effect in found.effects)
    num_others = sum(entry.is_other_plan for entry in found.replanned)
    lines = [
        f"{before_s * 1e3:.2f} ms simulated; the critical path has {num_segments} of "
        f"{len(found.timeline.compute)} segments: {', '.join(parts)}",
        f"{len(found.effects)} changes tried one by one; {num_idle} of them save nothing",
    ]
    if found.best_s is not None:
        lines.append(
            f"the best plan known as things are takes {found.best_s * 1e3:.2f} ms; what is saved anew is counted from "
            f"there, and is another plan's in {num_others} of {len(found.replanned)} cases"
        )
    return tuple(lines)


def explanation_json(found: Explanation, warnings: Sequence[str] = ()) -> str:
    """Everything, in seconds, as a JSON text."""
    again = {entry.scenario: entry for entry in found.replanned}
    content: dict[str, object] = {
        "makespan_s": found.timeline.makespan_s,
        "factor": found.factor,
        "critical_path": [
            {
                "kind": span.kind,
                "device": span.device,
                "ops": span.ops,
                **({"source": span.source, "tensor": span.tensor} if span.kind == "hand-over" else {}),
                "start_s": span.start_s,
                "end_s": span.end_s,
            }
            for span in found.path.spans
        ],
        "changes": [_entry(effect, again.get(effect.scenario)) for effect in found.effects],
    }
    if found.best_s is not None:
        content["replanned_makespan_s"] = found.best_s
    if warnings:
        content["warnings"] = list(warnings)
    return msgspec.json.encode(content).decode()


def _entry(effect: Effect, again: Replanned | None) -> dict[str, object]:
    change = effect.change
    fields = {"op": change.op} if change.op else {}
    if change.kind == "link":
        fields["source"], fields["device"] = change.devices
    elif change.kind == "device":
        fields["device"] = change.target
    entry: dict[str, object] = {
        "setting": change.description,
        "kind": "operator" if change.op else change.kind,
        **fields,
        "makespan_s": effect.makespan_s,
        "saved_s": effect.saved_s,
        "on_path_s": effect.on_path_s,
    }
    if again is not None:
        entry |= {"replanned_makespan_s": again.makespan_s, "replanned_saved_s": again.saved_s}
    return entry


def draw_sensitivity(found: Explanation, path: Path, *, graph_name: str, subtitle: str = "") -> None:
    """A bar for each change in the table, what it saves of the same plan, and beside it what planning anew saves.

    Raises:
        OSError: If the file cannot be written.
    """
    from hetsim.analysis.plots.bars import Bar, Group, draw_bars  # matplotlib, which only pictures need

    again = {entry.scenario: entry for entry in found.replanned}
    groups = []
    for effect in found.shown:
        bars = [Bar(label=SAME, value=effect.saved_s * 1e3)]
        if effect.scenario in again:
            bars.append(Bar(label=ANEW, value=again[effect.scenario].saved_s * 1e3))
        groups.append(Group(label=_label(effect.scenario, found.platform), bars=tuple(bars)))
    title = f"What would shorten this plan: {graph_name} on {found.platform.name}"
    draw_bars(
        groups,
        path,
        title=title,
        subtitle=subtitle,
        axis=f"Simulated latency saved if {_faster(found)} faster, hypothetical (ms)",
    )


def _label(scenario: Scenario, platform: Platform) -> str:
    """The settings; where they change all of a device that is not real hardware, its nature too."""
    names = dict.fromkeys(c.target for c in scenario.changes if c.kind == "device" and not c.op)
    natures = [device.nature for name in names if (device := platform.device(name)).nature != "real"]
    return f"{scenario.description} ({', '.join(natures)})" if natures else scenario.description


def _faster(found: Explanation) -> str:
    return f"{(found.factor - 1) * 100:g} %"


def _percent(saved_s: float, before_s: float) -> str:
    return f"{saved_s / before_s:.2%}".replace("%", " %") if before_s > 0 else ""
