"""Question: how many requests per second does a mixture of plans serve, and how many could any serve?

Random task graphs on two, three and four devices (:mod:`experiments.throughput_scheduling.instances`) are planned by
:func:`hetsim.scheduler.throughput.mixture.best_mixture`, which also gives a bound. Beside it stand the best single
device, whole graphs on all devices side by side, and, with ``--saga PYTHON``, the schedulers MaxTP and MT of SAGA. All
are judged by the same loads. Other devices than two are only certified well with ``hetsim[cp-sat]``.

``throughput_scheduling.csv`` has a line for each graph, ``throughput_scheduling.json`` says where they come from, and
``throughput_scheduling.png`` is drawn from the CSV alone.
"""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.records import Record, Settings, read_rows
from experiments.throughput_scheduling.instances import MAX_OPS, MIN_OPS, Instance, instances
from experiments.throughput_scheduling.peers import Peer, saga_peers
from hetsim.analysis.plots.bars import Bar, Group, draw_bars
from hetsim.scheduler.baselines.single_device import single_device, whole_model_devices
from hetsim.scheduler.throughput.loads import loads, resources
from hetsim.scheduler.throughput.mixture import best_mixture

COMMAND = "python -m experiments.throughput_scheduling"
NAME = "throughput_scheduling"
FREE_LINKS = "free links"
ROUNDING = 1e-9

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputLine:
    """A line of throughput_scheduling.csv: a task graph. All rates are requests per second.

    Attributes:
        problem: Name of the graph.
        num_ops: Its operators.
        num_devices: Devices of the platform.
        costs: ``related`` or ``unrelated``.
        links: ``free links``, or ``copies`` that share a channel.
        single_per_s: The whole graph on the best device.
        side_by_side_per_s: The whole graph on every device.
        mixture_per_s: The mixture.
        bound_per_s: No plans serve more.
        num_plans: Plans of the mixture.
        planning_s: Seconds that planning took.
        maxtp_per_s: SAGA's MaxTP; None without SAGA.
        maxtp_own_per_s: The throughput that SAGA itself gives that schedule.
        mt_per_s: SAGA's MT.
        mt_own_per_s: The throughput that SAGA itself gives that schedule.
    """

    problem: str
    num_ops: int
    num_devices: int
    costs: str
    links: str
    single_per_s: float
    side_by_side_per_s: float
    mixture_per_s: float
    bound_per_s: float
    num_plans: int
    planning_s: float
    maxtp_per_s: float | None
    maxtp_own_per_s: float | None
    mt_per_s: float | None
    mt_own_per_s: float | None

    @property
    def model(self) -> str:
        """The graph, by which rows are grouped."""
        return self.problem

    @property
    def gap(self) -> float:
        """By which part of the bound the mixture may serve too little."""
        return 1 - self.mixture_per_s / self.bound_per_s

    @property
    def peers_per_s(self) -> tuple[float, ...]:
        """What SAGA's schedulers serve; empty without SAGA."""
        return tuple(per_s for per_s in (self.maxtp_per_s, self.mt_per_s) if per_s is not None)

    @property
    def means_the_same(self) -> bool:
        """Whether SAGA's network charges what hetsim's platform does."""
        return self.costs == "related" and (self.links == FREE_LINKS or self.num_devices == 2)

    @property
    def both_definitions(self) -> tuple[tuple[float, float], ...]:
        """Of each of SAGA's schedules, its throughput by hetsim's loads and by SAGA's own definition."""
        pairs = ((self.maxtp_per_s, self.maxtp_own_per_s), (self.mt_per_s, self.mt_own_per_s))
        return tuple((per_s, own) for per_s, own in pairs if per_s is not None and own is not None)


@dataclass(frozen=True, slots=True)
class _Subject:
    """An instance as :class:`~experiments.shared.records.Record` takes it."""

    name: str
    hash: str = ""


@app.command()
def throughput_scheduling(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; results in it are continued.")],
    graphs: Annotated[int, typer.Option(min=1, help="Random task graphs.")] = 200,
    max_ops: Annotated[int, typer.Option("--max-ops", min=MIN_OPS, help="Operators of a graph at most.")] = MAX_OPS,
    saga: Annotated[
        Path | None, typer.Option("--saga", metavar="PYTHON", help="The Python of an environment that has SAGA 2.1.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Plan random task graphs for throughput and compare with SAGA and with a bound."""
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    console = Console()
    for text in summary(compare(out, graphs=graphs, max_ops=max_ops, saga=saga, seed=seed, command=command)):
        console.print(text, markup=False, highlight=False)


def compare(
    out: Path, *, graphs: int, max_ops: int = MAX_OPS, saga: Path | None = None, seed: int = 0, command: str = COMMAND
) -> list[ThroughputLine]:
    """All lines of ``out/throughput_scheduling.csv``, after adding graphs that it lacks and drawing the picture.

    Raises:
        HetsimError: If SAGA does not run, or the folder holds results under other settings.
        OSError: If the folder cannot be written.
    """
    settings: Settings = {"seed": seed, "max_ops": max_ops, "saga": "2.1" if saga else ""}
    path = out / f"{NAME}.csv"
    record = Record(path, ThroughputLine, settings=settings, command=command)
    missing = [instance for instance in instances(graphs, seed=seed, max_ops=max_ops) if not record.has(instance.name)]
    peers = saga_peers(saga, missing) if saga and missing else [dict[str, Peer]() for _ in missing]
    for instance, beside in zip(missing, peers, strict=True):
        record.add(_Subject(instance.name), [line_of(instance, beside)])
    draw(read_rows(path, ThroughputLine), out / f"{NAME}.png")
    return record.rows


def line_of(instance: Instance, peers: dict[str, Peer]) -> ThroughputLine:
    """The line of one task graph."""
    problem = instance.problem
    capacities = resources(problem).capacities
    singles = [
        1 / float((loads(problem, single_device(problem, name)) / capacities).max())
        for name in whole_model_devices(problem)
    ]
    started_s = time.perf_counter()
    mixture = best_mixture(problem)
    planning_s = time.perf_counter() - started_s
    maxtp, mt = peers.get("maxtp"), peers.get("mt")
    return ThroughputLine(
        problem=instance.name,
        num_ops=len(problem.graph.ops),
        num_devices=len(problem.platform.devices),
        costs="related" if instance.is_related else "unrelated",
        links="copies" if instance.has_copies else FREE_LINKS,
        single_per_s=max(singles),
        side_by_side_per_s=sum(singles),
        mixture_per_s=mixture.throughput_per_s,
        bound_per_s=mixture.bound_per_s,
        num_plans=len(mixture.plans),
        planning_s=planning_s,
        maxtp_per_s=None if maxtp is None else maxtp.per_s,
        maxtp_own_per_s=None if maxtp is None else maxtp.own_per_s,
        mt_per_s=None if mt is None else mt.per_s,
        mt_own_per_s=None if mt is None else mt.own_per_s,
    )


def groups_of(lines: Sequence[ThroughputLine]) -> Iterator[tuple[str, list[ThroughputLine]]]:
    """The lines of each number of devices, costs and links, with a label."""
    found: dict[str, list[ThroughputLine]] = {}
    for line in lines:
        found.setdefault(f"{line.num_devices} devices, {line.costs} costs, {line.links}", []).append(line)
    yield from sorted(found.items())


def summary(lines: Sequence[ThroughputLine]) -> list[str]:
    """A line of text for each group, and for all graphs together."""
    texts = []
    for label, group in (*groups_of(lines), ("all", list(lines))):
        gaps = [line.gap for line in group]
        gain = statistics.geometric_mean(line.mixture_per_s / line.side_by_side_per_s for line in group)
        text = (
            f"{label}: {len(group)} graphs, gap {statistics.mean(gaps):.2%} on average and {max(gaps):.2%} at most, "
            f"{gain:.3f} times side by side, planned in at most {max(line.planning_s for line in group):.1f} s"
        )
        ratios = [line.mixture_per_s / per_s for line in group for per_s in line.peers_per_s]
        if ratios:
            behind = sum(ratio < 1 - ROUNDING for ratio in ratios)
            text += f", {statistics.geometric_mean(ratios):.3f} times SAGA's, behind {behind} of {len(ratios)}"
        texts.append(text)
    errors = [abs(own / per_s - 1) for line in lines if line.means_the_same for per_s, own in line.both_definitions]
    if errors:
        texts.append(f"where both mean the same, SAGA's own throughput differs by {max(errors):.1e} at most")
    return texts


def draw(lines: Sequence[ThroughputLine], picture: Path) -> None:
    """Draw the mean throughput of everything relative to the bound, by group.

    Raises:
        OSError: If the file cannot be written.
    """
    contenders = {
        "best single device": "single_per_s",
        "side by side": "side_by_side_per_s",
        "SAGA MaxTP": "maxtp_per_s",
        "SAGA MT": "mt_per_s",
        "mixture": "mixture_per_s",
    }
    groups = []
    for label, group in groups_of(lines):
        bars = []
        for name, column in contenders.items():
            shares = [getattr(line, column) / line.bound_per_s for line in group if getattr(line, column) is not None]
            if shares:
                bars.append(Bar(label=name, value=statistics.mean(shares)))
        groups.append(Group(label=f"{label}\n{len(group)} graphs", bars=tuple(bars)))
    draw_bars(groups, picture, title="Throughput on random task graphs (hypothetical)", axis="relative to the bound")
