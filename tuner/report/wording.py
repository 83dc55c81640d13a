"""Sentences, table cells and numbers as the screen and the page both show them."""

from __future__ import annotations

from hetsim.analysis.breakdown import Breakdown
from hetsim.tuner.report.outcome import Outcome


def verdict(outcome: Outcome) -> str:
    """What to do, in a sentence or two."""
    best, single_s = outcome.best, outcome.best_single_device_s
    best_ms = format_ms(best.measured_s)
    if best.num_devices == 1:
        sentences = f"Stay on one device: {best.name}, {best_ms} ms; no plan over several devices is faster."
    elif single_s is None:
        sentences = f"Run the plan of {best.name}: {best_ms} ms; no single device runs the whole model."
    else:
        sentences = (
            f"Run the plan of {best.name}: {best_ms} ms, {single_s / best.measured_s:.2f} times as fast "
            f"as the best single device ({format_ms(single_s)} ms)."
        )
    if outcome.tied:
        sentences += f" Shown to be within 1 %: {_ratios(outcome, outcome.tied)}."
    if outcome.undecided:
        sentences += f" Undecided, so the lower median counts: {_ratios(outcome, outcome.undecided)}."
    return sentences


def _ratios(outcome: Outcome, names: tuple[str, ...]) -> str:
    found = ((name, outcome.plan(name).ratio) for name in names)
    return ", ".join(
        f"{name} takes {ratio.median:.3f} times as long ({ratio.low:.3f}\N{EN DASH}{ratio.high:.3f})"
        for name, ratio in found
    )


def exactness(outcome: Outcome) -> str:
    """Whether the outputs are right, in a sentence or two."""
    random = ", ".join(outcome.not_compared)
    random = f" Random numbers go into {random}: not compared." if random else ""
    if not outcome.num_compared:
        return random.strip()
    sentence = (
        "Outputs match the reference engine" if outcome.outputs_match else "OUTPUTS DIFFER from the reference engine"
    )
    rejected = ", ".join(f"{name} ({error:.1e})" for name, error in outcome.rejected.items())
    return (
        f"{sentence}: largest error {outcome.largest_error:.1e}, tolerance {outcome.tolerance:.0e}."
        + (f" Rejected: {rejected}." if rejected else "")
        + random
    )


PLAN_COLUMNS = ("plan", "simulated", "measured", "95 % interval", "error", "speed-up", "segments", "splits")


ROUND_COLUMNS = ("plan", "predicted", "once measured", "error", "segments predicted", "best so far", "optimistic gain")


WHERE_COLUMNS = ("device", "compute", "launch", "hand-over", "waiting")


def plan_cells(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row of :data:`PLAN_COLUMNS` for each plan; the error is that of the simulation against the measurement."""
    return [
        (
            plan.name,
            format_ms(plan.simulated_s),
            format_ms(plan.measured_s),
            f"{format_ms(plan.measured_low_s)}\N{EN DASH}{format_ms(plan.measured_high_s)}",
            format_percent(plan.error, signed=True),
            format_ratio(outcome.speed_up(plan)),
            str(plan.num_segments),
            str(plan.num_splits or ""),
        )
        for plan in outcome.plans
    ]


def where_cells(where: Breakdown) -> list[tuple[str, ...]]:
    """A row of :data:`WHERE_COLUMNS` for each device: milliseconds, and the share of the makespan."""
    return [
        (
            part.label,
            *(
                f"{format_ms(time_s)} ({format_percent(time_s / where.makespan_s if where.makespan_s > 0 else 0.0)})"
                for time_s in (part.compute_s, part.launch_s, part.hand_over_s, part.waiting_s)
            ),
        )
        for part in where.devices
    ]


def round_cells(outcome: Outcome) -> list[tuple[str, ...]]:
    """A row of :data:`ROUND_COLUMNS` for each plan that the search had measured; times in milliseconds."""
    return [
        (
            tried.name,
            format_ms(tried.predicted_s)
            + (f" \N{PLUS-MINUS SIGN} {format_ms(tried.error_s)}" if tried.num_predicted else ""),
            format_ms(tried.replayed_s),
            format_percent(tried.predicted_s / tried.replayed_s - 1, signed=True),
            f"{tried.num_predicted} of {tried.num_segments}",
            format_ms(one.best_s),
            format_percent(one.left),
        )
        for one in outcome.rounds
        for tried in one.tries
    ]


def format_ms(time_s: float) -> str:
    """Milliseconds with as many digits as mean something: 0.123, 1.23, 12.34."""
    return f"{time_s * 1e3:.3f}" if time_s < 1e-3 else f"{time_s * 1e3:.2f}"


def format_ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def format_percent(fraction: float, *, signed: bool = False) -> str:
    sentence = f"{fraction:+.1%}" if signed else f"{fraction:.0%}"
    return sentence.replace("%", " %").replace("-", "\N{MINUS SIGN}")
