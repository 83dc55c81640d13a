"""Tables of the page on hypothetical devices, in Markdown, and the rows of plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from experiments.htp.derive import RateLine, Trace
from hetsim.core.platform import Platform
from hetsim.costs.hypothetical.imports.imported import CallCosts
from hetsim.costs.problems import make_problem
from hetsim.io.platform_file import load_platform

SHAPES = ("pointwise", "spatial", "strided", "shallow")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """A line of plans.csv: the best plan that was found for one network with one launch cost.

    Attributes:
        model: The network.
        times: ``trace``, or ``phone-htp`` for the sheet.
        launch: Which launch cost.
        launch_s: That cost.
        cpu_s: Latency on the core alone.
        npu_s: Latency on the NPU alone; None if it does not run the whole network.
        plan_s: Latency of the plan; all three are simulated.
        num_launches: Segments of the plan on the NPU.
        npu_ops: Share of the operators that the plan gives to the NPU.
    """

    model: str
    times: str
    launch: str
    launch_s: float
    cpu_s: float
    npu_s: float | None
    plan_s: float
    num_launches: int
    npu_ops: float


def tables(
    trace: Trace,
    rate_lines: Sequence[RateLine],
    plan_lines: Sequence[PlanLine],
    figures: Mapping[str, float],
    platform: Platform,
) -> dict[str, str]:
    """By name, the tables."""
    return {
        "matching": _matching(trace),
        "calls": _calls(trace),
        "rates": _rates(trace, rate_lines, platform),
        "constants": _constants(trace, figures),
        "plans": _plans(plan_lines),
        "launch shares": _launch_shares(plan_lines),
    }


def _matching(trace: Trace) -> str:
    found = trace.warm.matching
    return _table(
        ("", "operators"),
        [
            ("of the trace, matched by name", f"{len(found.ops_of)}"),
            ("of the trace, inserted by the compiler", f"{len(found.inserted)}: `{'`, `'.join(found.inserted)}`"),
            ("of the trace, unmatched", f"{len(found.unmatched)}"),
            ("of the model, with a time", f"{len(trace.warm.seconds)}"),
            ("of the model, fused into those", f"{len(found.fused)}"),
            ("of the model, without a time", f"{len(found.untimed)}"),
        ],
    )


def _calls(trace: Trace) -> str:
    costs = {"cold": trace.cold, "warm": trace.warm}
    rows: list[tuple[str, ...]] = []

    def add(label: str, seconds: Iterable[float]) -> None:
        totals = [one.costs.total_s or 0.0 for one in costs.values()]
        cells = zip(seconds, totals, strict=True)
        rows.append((label, *(f"{part * 1e3:.3f} ({part / total:.1%})" for part, total in cells)))

    def launch(label: str) -> Iterable[float]:
        calls: Iterable[CallCosts] = (one.costs for one in costs.values())
        return ((call.launch_parts_s | call.also_s)[label] for call in calls)  # type: ignore[operator]

    add("the whole call", (one.costs.total_s or 0.0 for one in costs.values()))
    add("launch cost", (one.costs.launch_s for one in costs.values()))
    for label in trace.warm.costs.launch_parts_s:
        add(f"· {label}", launch(label))
    for label in trace.warm.costs.also_s:
        add(f"· within these: {label}", launch(label))
    add("inserted by the compiler", (one.inserted_s for one in costs.values()))
    add("operators of the model", (one.ops_s for one in costs.values()))
    return _table(("ms (share of the call)", "cold", "warm"), rows)


def _rates(trace: Trace, lines: Sequence[RateLine], platform: Platform) -> str:
    rows = [
        (
            line.kind,
            str(line.num_ops),
            f"{line.traced_s * 1e6:.1f}",
            "" if line.macs_per_s is None else f"{line.macs_per_s / 1e12:.2f}",
            f"{line.elements_per_s / 1e9:.1f}",
            f"{line.sheet_s * 1e6:.1f}",
        )
        for line in lines
    ]
    traced_s, sheet_s = (sum(getattr(line, name) for line in lines) for name in ("traced_s", "sheet_s"))
    ops = tuple(op.name for op in trace.model.graph.ops)
    whole = make_problem(trace.model, platform).latency("npu", ops)
    assert whole is not None
    with_memory_s = whole.seconds - platform.device("npu").launch_s
    rows.append(
        ("all", str(sum(line.num_ops for line in lines)), f"{traced_s * 1e6:.1f}", "", "", f"{sheet_s * 1e6:.1f}")
    )
    rows.append(("all, with memory accesses", "", "", "", "", f"{with_memory_s * 1e6:.1f}"))
    return _table(("class", "operators", "trace, us", "T MAC/s", "G elements/s", "`phone-htp`, us"), rows)


def _constants(trace: Trace, figures: Mapping[str, float]) -> str:
    """What ``phone`` assumes beside what the trace says."""
    phone = load_platform("phone")
    npu, link = phone.device("npu"), phone.link("cpu", "npu")
    assert npu.sheet is not None
    peak = npu.sheet.peak_ops_per_s["i8"]
    warm = trace.warm.launch_s
    rows = [
        (
            "launch cost, ms",
            f"{npu.launch_s * 1e3:.2f}",
            f"{warm * 1e3:.2f} warm, {trace.cold.launch_s * 1e3:.2f} cold",
        ),
        ("multiplications at most, T operations/s", f"{peak / 1e12:.1f}", f"{figures['peak_ops_per_s'] / 1e12:.1f}"),
        (
            "share of that on average",
            f"{npu.sheet.efficiency:.2f} of full lanes",
            ", ".join(f"{shape} {figures[shape]:.2f}" for shape in SHAPES),
        ),
        (
            "other operators, G elements/s",
            f"{npu.sheet.elements_per_s / 1e9:.0f}",
            f"{figures['elements_per_s'] / 1e9:.0f}",
        ),
        (
            "quantising and moving to the NPU, GB/s of 32-bit numbers",
            f"{link.bandwidth_bytes_per_s / 1e9:.0f}",
            f"{figures['link'] / 1e9:.1f}",
        ),
    ]
    return _table(("", "assumed in `phone`", "the trace"), rows)


def _plans(lines: Sequence[PlanLine]) -> str:
    """Simulated latencies of the best plans, by launch cost."""
    launches = list(dict.fromkeys(line.launch for line in lines))
    launch_s = {line.launch: line.launch_s for line in lines}
    heading = ("network", "times", "core alone", *(f"{name}, {launch_s[name] * 1e3:.2f}" for name in launches))
    rows = []
    for (model, times), of in _by_network(lines).items():
        cells = [f"{line.plan_s * 1e3:.2f} ({line.cpu_s / line.plan_s:.1f}x)" for line in of]
        rows.append((model, times, f"{of[0].cpu_s * 1e3:.2f}", *cells))
    return _table(heading, rows)


def _launch_shares(lines: Sequence[PlanLine]) -> str:
    """Launches of the best plans, by launch cost."""
    launches = list(dict.fromkeys(line.launch for line in lines))
    rows = []
    for (model, times), of in _by_network(lines).items():
        cells = [
            f"{line.num_launches}, {line.npu_ops:.0%}, {line.num_launches * line.launch_s / line.plan_s:.0%}"
            for line in of
        ]
        rows.append((model, times, *cells))
    return _table(("network", "times", *launches), rows)


def _by_network(lines: Sequence[PlanLine]) -> dict[tuple[str, str], list[PlanLine]]:
    found: dict[tuple[str, str], list[PlanLine]] = {}
    for line in lines:
        found.setdefault((line.model, line.times), []).append(line)
    return found


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heading)} |", f"|{'---|' * len(heading)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
