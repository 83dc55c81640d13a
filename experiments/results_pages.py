"""The pages docs/accuracy.md and docs/performance.md, written from the CSV files in results/.

``python -m experiments.results_pages`` writes both; ``--check`` says whether they are up to date and writes nothing.
The prose of a page is in ``results/pages/``. In it, ``{table NAME}`` stands for a table of :data:`TABLES`, with a line
that says when, where and by which command it was measured, and ``{figure NAME}`` for a number of :data:`FIGURES`. A CSV
begins with ``# date``, ``# machine`` and ``# command``.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean, median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
PAGES = ("accuracy.md", "performance.md")

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A CSV of results.

    Attributes:
        source: By key, the text of its first lines: ``date``, ``machine`` and ``command``.
        rows: Its rows, each with cells by column.
    """

    source: Mapping[str, str]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of a page.

    Attributes:
        file: The CSV in results/, without its ending.
        columns: By heading, the function that formats a row's cell.
        where: By column of the CSV, the value that rows must have.
    """

    file: str
    columns: Mapping[str, Callable[[Row], str]]
    where: Mapping[str, str]


def read_result(name: str) -> Result:
    """A CSV of results/ by its name without ending.

    Raises:
        ValueError: If it does not begin with its date, machine and command.
    """
    lines = (RESULTS / f"{name}.csv").read_text("utf-8").splitlines()
    source = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    missing = [key for key in ("date", "machine", "command") if key not in source]
    if missing:
        raise ValueError(
            f"results/{name}.csv lacks its {missing[0]!r}; begin the file with a line '# {missing[0]}: ...'"
        )
    return Result(source=source, rows=tuple(csv.DictReader(line for line in lines if not line.startswith("# "))))


def _text(column: str) -> Callable[[Row], str]:
    return lambda row: row[column]


def _name(column: str) -> Callable[[Row], str]:
    return lambda row: f"`{row[column]}`"


def _percent(column: str, *, signed: bool = False) -> Callable[[Row], str]:
    return lambda row: f"{'+' if signed and float(row[column]) > 0 else ''}{row[column]}"


def _ms(column: str, digits: int = 2) -> Callable[[Row], str]:
    return lambda row: f"{float(row[column]) * 1e3:.{digits}f}"


def _with_range(
    column: Callable[[Row], str], low: Callable[[Row], str], high: Callable[[Row], str]
) -> Callable[[Row], str]:
    return lambda row: f"{column(row)} [{low(row)}, {high(row)}]"


def _gain(column: str) -> Callable[[Row], str]:
    return _with_range(_text(f"{column}_percent"), _text(f"{column}_low"), _text(f"{column}_high"))


_ERRORS = {
    "network": _text("model"),
    "plans": _text("num_plans"),
    "spread": _text("spread_over_iqr"),
    "noise, %": _percent("noise_percent"),
    "simulated: mean, %": _percent("simulated_mean_percent"),
    "worst, %": _percent("simulated_worst_percent"),
    "bias, %": _percent("simulated_bias_percent", signed=True),
    "Kendall's tau": _with_range(_text("kendall_tau"), _text("tau_low"), _text("tau_high")),
    "predicted: mean, %": _percent("predicted_mean_percent"),
    "worst plan, %": _percent("predicted_worst_percent"),
    "tau": _text("predicted_kendall_tau"),
}
_SPEEDUP = {
    "network": _text("model"),
    "best single device, ms": _ms("best_single_s"),
    "PartitionTuner, ms": _ms("partition_tuner_s"),
    "without splits, ms": _ms("without_splits_s"),
    "best plan, ms": _with_range(_ms("best_plan_s"), _ms("best_plan_low_s"), _ms("best_plan_high_s")),
    "speed-up": _text("over_best_single"),
    "efficiency, %": _percent("efficiency_percent"),
    "engine, two threads, ms": _ms("best_engine_two_threads_s"),
}

TABLES: Mapping[str, Table] = {
    "errors": Table(file="simulated_vs_measured", columns=_ERRORS, where={"platform": "cpu+npu"}),
    "errors_bf16": Table(file="simulated_vs_measured", columns=_ERRORS, where={"platform": "cpu+npu-bf16"}),
    "several_requests": Table(
        file="several_requests",
        columns={
            "plan": _name("scheduler"),
            "load": _text("load"),
            "throughput, %": _percent("throughput_error_percent", signed=True),
            "median latency, %": _percent("median_latency_error_percent", signed=True),
            "99th percentile, %": _percent("p99_latency_error_percent", signed=True),
        },
        where={},
    ),
    "contention": Table(
        file="contention",
        columns={
            "side by side": _text("pair"),
            "slowed operator": lambda row: f"{row['op']} on {row['device']}",
            "slow-down, measured": _text("measured_slowdown"),
            "simulated": _text("simulated_slowdown"),
            "error, %": _percent("error_percent", signed=True),
            "without rule 3": _text("slowdown_without_contention"),
        },
        where={},
    ),
    "emulated_npu": Table(
        file="emulated_npu",
        columns={
            "network": _text("model"),
            "plans": _text("num_plans"),
            "mean, %": _percent("simulated_mean_percent"),
            "worst, %": _percent("simulated_worst_percent"),
            "bias, %": _percent("simulated_bias_percent", signed=True),
            "on both devices": _text("num_plans_on_both"),
            "their mean, %": _percent("both_mean_percent"),
            "their worst, %": _percent("both_worst_percent"),
        },
        where={},
    ),
    "speedup": Table(file="speedup", columns=_SPEEDUP, where={"platform": "cpu+npu"}),
    "speedup_bf16": Table(file="speedup", columns=_SPEEDUP, where={"platform": "cpu+npu-bf16"}),
    "demo": Table(
        file="demo",
        columns={
            "plan": _name("plan"),
            "simulated, ms": _ms("simulated_s"),
            "measured, ms": _with_range(_ms("measured_s"), _ms("measured_low_s"), _ms("measured_high_s")),
            "speed-up": _text("speed_up"),
            "segments": _text("num_segments"),
        },
        where={},
    ),
    "evaluation_speed": Table(
        file="evaluation_speed",
        columns={
            "simulator": _text("simulator"),
            "operators": _text("num_ops"),
            "plans a second": _with_range(_text("plans_per_s"), _text("low_per_s"), _text("high_per_s")),
        },
        where={},
    ),
    "schedulers": Table(
        file="schedulers",
        columns={"problem": _text("problem"), "options": _text("options"), "result": _text("result")},
        where={},
    ),
    "soak": Table(file="soak", columns={"figure": _text("figure"), "value": _text("value")}, where={}),
    "paper_board": Table(
        file="paper_board",
        columns={
            "network": _text("model"),
            "VTA units": _text("num_vta"),
            "PartitionTuner, ms": _ms("partition_tuner_s", 1),
            "search, ms": _ms("search_s", 1),
            "over type-based, %": _gain("over_type_based"),
            "over type-based with ReLU fused, %": _gain("over_type_based_relu"),
            "over individual, %": _gain("over_individual"),
        },
        where={},
    ),
}  # fmt: skip


def _errors(platform: str, column: str) -> list[float]:
    rows = read_result("simulated_vs_measured").rows
    return [float(row[column]) for row in rows if row["platform"] == platform]


def _geometric_mean_of_speedups(platform: str) -> str:
    rows = read_result("speedup").rows
    return f"{exp(fmean(log(float(row['over_best_single'])) for row in rows if row['platform'] == platform)):.2f}"


def _summary(platform: str, kind: str) -> str:
    """The median network's mean error, the worst network's, and the worst plan's."""
    means = _errors(platform, f"{kind}_mean_percent")
    return f"{median(means):.1f}, {max(means):.1f} and {max(_errors(platform, f'{kind}_worst_percent')):.1f} %"


FIGURES: Mapping[str, Callable[[], str]] = {
    "num_plans": lambda: f"{sum(_errors('cpu+npu', 'num_plans')):.0f}",
    "num_plans_bf16": lambda: f"{sum(_errors('cpu+npu-bf16', 'num_plans')):.0f}",
    "simulated": lambda: _summary("cpu+npu", "simulated"),
    "simulated_bf16": lambda: _summary("cpu+npu-bf16", "simulated"),
    "predicted": lambda: _summary("cpu+npu", "predicted"),
    "predicted_bf16": lambda: _summary("cpu+npu-bf16", "predicted"),
    "speedup": lambda: _geometric_mean_of_speedups("cpu+npu"),
    "speedup_bf16": lambda: _geometric_mean_of_speedups("cpu+npu-bf16"),
}


def format_table(table: Table) -> str:
    """A table in Markdown, with a line below that says where its figures come from."""
    result = read_result(table.file)
    rows = [row for row in result.rows if all(row[key] == value for key, value in table.where.items())]
    cells: list[Sequence[str]] = [list(table.columns), ["---"] * len(table.columns)]
    cells += [[show(row) for show in table.columns.values()] for row in rows]
    lines = ["|" + "|".join(line) + "|" for line in cells]
    source = f"{result.source['date']}; {result.source['machine']}; `{result.source['command']}`"
    return "\n".join([*lines, "", f"*{source}*"])


def render(template: str) -> str:
    """A page, with tables and figures in place of ``{table NAME}`` and ``{figure NAME}``.

    Raises:
        KeyError: If there is no table or figure of such a name.
    """
    page = re.sub(r"\{table\s+(\w+)\}", lambda found: format_table(TABLES[found[1]]), template)
    return re.sub(r"\{figure\s+(\w+)\}", lambda found: FIGURES[found[1]](), page)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or check them; the exit code, 1 if a page is out of date."""
    parser = argparse.ArgumentParser(prog="python -m experiments.results_pages", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    options = parser.parse_args(arguments)
    stale = 0
    for name in PAGES:
        page, path = render((RESULTS / "pages" / name).read_text("utf-8")), ROOT / "docs" / name
        if options.check:
            if not path.exists() or path.read_text("utf-8") != page:
                print(f"docs/{name} is out of date; run python -m experiments.results_pages", file=sys.stderr)
                stale = 1
        else:
            path.write_text(page, "utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
