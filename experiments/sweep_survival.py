"""Question: does a sweep on a Dask cluster lose nothing if a worker dies and the sweep itself is stopped?

The sweep plans a random layered problem for a hypothetical CPU and NPU, for every pair of an NPU speed and a memory
bandwidth on a square map. A local cluster of worker processes computes it. When 30 % of the points have results, one
worker is killed. When 60 % have results, the sweep is stopped; it is then resumed from its file, and at last run once
more. Workers note every computation of a point in a file, so repeated computations can be counted.

``sweep_survival.csv`` has the map, ``sweep_survival.jsonl`` is the file of the sweep, and ``sweep_survival.json`` says
where they come from.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from experiments.shared.random_graphs import layered_problem
from experiments.shared.records import write_rows, write_sidecar
from experiments.sweeps.sweep import sweep
from experiments.sweeps.workers import Workers, on_dask
from hetsim.core.errors import SweepError
from hetsim.core.platform import Memory
from hetsim.core.problem import Latency, Problem
from hetsim.scheduler.registry import make_plan
from hetsim.sim.simulate import makespan_s
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen, Report, Silent, Stages

COMMAND = "python -m experiments.sweep_survival"
NUM_OPS = 16
CONTENTION = 2.0
"""Mean bandwidth that all devices at work demand, relative to the memory's bandwidth where the map has bandwidth 1."""
KILL_AT, STOP_AT = 0.3, 0.6
"""Parts of the points that have results when a worker is killed and when the sweep is stopped."""
SCHEDULERS = ("heft", "single:cpu", "single:npu")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Machine:
    """A point of the map.

    Attributes:
        npu_speed: Speed of the NPU, relative to that in the problem.
        bandwidth: Bandwidth of the memory, relative to that in the problem.
    """

    npu_speed: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Planned:
    """The result at a point; latencies are simulated by SimPy.

    Attributes:
        heft_s: Latency of HEFT's plan.
        cpu_s: Latency of the CPU alone.
        npu_s: Latency of the NPU alone.
        plan_id: Digest of HEFT's plan.
    """

    heft_s: float
    cpu_s: float
    npu_s: float
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLine:
    """A line of sweep_survival.csv: a point and its result; ``gain`` is the speed-up over the better single device."""

    npu_speed: float
    bandwidth: float
    heft_s: float
    cpu_s: float
    npu_s: float
    gain: float
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """Counts of the three runs of the sweep.

    Attributes:
        num_points: Points of the map.
        num_saved: Points with results when the sweep was stopped.
        num_before: Computations in the first run, which was stopped.
        num_after: Computations in the second run, which was resumed.
        num_again: Computations in the third run, in which all points had results.
        num_lost: Points without a result at the end, and points with another result in the third run.
        num_processes: Processes that computed points.
        took_s: Time of all runs together.
        lines: The map.
    """

    num_points: int
    num_saved: int
    num_before: int
    num_after: int
    num_again: int
    num_lost: int
    num_processes: int
    took_s: float
    lines: tuple[MapLine, ...]


class _Stopped(Exception):  # noqa: N818  (an interruption, not an error)
    """The sweep was stopped."""


@lru_cache(maxsize=1)
def _problem(seed: int) -> Problem:
    """The problem, made once by each worker."""
    return layered_problem(NUM_OPS, seed=seed, contention=CONTENTION)


def planned(calls: Path, seed: int, machine: Machine) -> Planned:
    """The result for a machine; the process adds a line with its number to ``calls``."""
    with open(calls, "ab", buffering=0) as file:  # several processes append whole lines
        file.write(b"%d\n" % os.getpid())
    problem = _problem(seed)

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        seconds = problem.cost_s(device, ops)
        return Latency(seconds / machine.npu_speed if device == "npu" else seconds)

    memory = Memory(shared_bytes_per_s=problem.platform.memory.shared_bytes_per_s * machine.bandwidth)
    changed = replace(problem, platform=replace(problem.platform, memory=memory), latency_function=latency, _known={})
    plans = [make_plan(name, changed) for name in SCHEDULERS]
    heft_s, cpu_s, npu_s = (makespan_s(changed, plan) for plan in plans)
    return Planned(heft_s=heft_s, cpu_s=cpu_s, npu_s=npu_s, plan_id=plans[0].digest)


@app.command()
def sweep_survival(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    side: Annotated[
        int, typer.Option("--side", min=2, help="Number of speeds and of bandwidths; the map has all pairs.")
    ] = 100,
    num_workers: Annotated[int, typer.Option("--workers", min=2, help="Processes of the local cluster.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the problem.")] = 0,
) -> None:
    """Kill a worker of a sweep on a Dask cluster, stop the sweep, resume it, and count computations."""
    console = Console()
    found = survive(out, side=side, num_workers=num_workers, seed=seed, stages=OnScreen(console))
    gains = [line.gain for line in found.lines]
    lines = (
        f"{found.num_points:,} points on a local Dask cluster of {num_workers} workers, one worker killed: "
        f"{found.num_lost} lost, in {found.took_s:.0f} s",
        f"  stopped at {found.num_saved:,} points after {found.num_before:,} computations: "
        f"{found.num_before - found.num_saved:,} died with the worker or were in flight",
        f"  resumed: {found.num_after:,} computations for {found.num_points - found.num_saved:,} missing points",
        f"  run once more: {found.num_again:,} computations",
        f"  {found.num_processes} processes computed; {len({line.plan_id for line in found.lines})} different plans; "
        f"gain over the better single device {min(gains):.2f}x to {max(gains):.2f}x (hypothetical devices)",
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def survive(out: Path, *, side: int, num_workers: int = 2, seed: int = 0, stages: Stages | None = None) -> Survival:
    """Counts of a sweep of ``side * side`` points that is disturbed, stopped and resumed; the results are in ``out``.

    Raises:
        SweepError: If the folder holds such a sweep already, or dask.distributed is not installed.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    path, calls = out / "sweep_survival.jsonl", out / "computations.txt"
    if path.exists() or calls.exists():
        raise SweepError(f"{out} holds a sweep already, and this one must begin with nothing; choose another folder")
    started_s = time.monotonic()
    points = [Machine(speed, bandwidth) for speed in _ratios(side) for bandwidth in _ratios(side)]
    settings = {"seed": seed, "num_ops": NUM_OPS, "contention": CONTENTION, "schedulers": list(SCHEDULERS)}
    with _cluster(num_workers) as (cluster, workers):
        out.mkdir(parents=True, exist_ok=True)

        def run(title: str, disturb: Callable[[float], None] | None = None) -> list[Planned]:
            with stages.stage(title) as report:
                function = partial(planned, calls.resolve(), seed)
                both = report if disturb is None else _also(report, disturb)
                return sweep(function, points, Planned, workers=workers, path=path, settings=settings, report=both)

        with suppress(_Stopped):
            run("until it is stopped", _Disturbance(cluster))
        num_saved = _count_results(path)
        num_before = _count_at_rest(calls)
        found = run("the rest")
        num_after = _count(calls) - num_before
        again = run("once more")
    lines = tuple(_line(*pair) for pair in zip(points, again, strict=True))
    write_rows(out / "sweep_survival.csv", MapLine, lines)
    write_sidecar(out / "sweep_survival.json", settings={"seed": seed, "side": side}, command=_command())
    num_changed = sum(a != b for a, b in zip(found, again, strict=True))
    return Survival(
        num_points=len(points),
        num_saved=num_saved,
        num_before=num_before,
        num_after=num_after,
        num_again=_count(calls) - num_before - num_after,
        num_lost=len(points) - _count_results(path) + num_changed,
        num_processes=len(set(calls.read_text().split())),
        took_s=time.monotonic() - started_s,
        lines=lines,
    )


@contextmanager
def _cluster(num_workers: int) -> Iterator[tuple[Any, Workers]]:
    """A local Dask cluster and its workers."""
    try:
        from distributed import LocalCluster
    except ImportError:
        raise SweepError("this needs dask.distributed, an extra: pip install 'hetsim[dask]'") from None
    with (
        LocalCluster(
            n_workers=num_workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        on_dask(cluster.scheduler_address) as workers,
    ):
        yield cluster, workers


class _Disturbance:
    """Kills one worker of a cluster when a sweep has done :data:`KILL_AT`, and stops the sweep at :data:`STOP_AT`."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._killed = False

    def __call__(self, done: float) -> None:
        if done >= KILL_AT and not self._killed:
            self._killed = True
            os.kill(next(iter(self._cluster.workers.values())).pid, signal.SIGKILL)
        if done >= STOP_AT:
            raise _Stopped


def _also(report: Report, disturb: Callable[[float], None]) -> Report:
    """A report that also disturbs."""

    def report_and_disturb(done: float, text: str) -> None:
        report(done, text)
        disturb(done)

    return report_and_disturb


def _ratios(count: int) -> list[float]:
    """``count`` numbers from 1/4 to 16, equal ratios apart."""
    return [float(f"{2 ** (6 * i / (count - 1) - 2):.4g}") for i in range(count)]


def _count_at_rest(calls: Path) -> int:
    """The number of computations after those in flight, for which the stopped sweep did not wait, have ended."""
    count = -1
    while count != (count := _count(calls)):
        time.sleep(1.0)
    return count


def _count(calls: Path) -> int:
    return calls.read_bytes().count(b"\n")


def _count_results(path: Path) -> int:
    return path.read_bytes().count(b'"result"')


def _line(machine: Machine, found: Planned) -> MapLine:
    return MapLine(
        npu_speed=machine.npu_speed,
        bandwidth=machine.bandwidth,
        heft_s=found.heft_s,
        cpu_s=found.cpu_s,
        npu_s=found.npu_s,
        gain=min(found.cpu_s, found.npu_s) / found.heft_s,
        plan_id=found.plan_id,
    )


def _command() -> str:
    return shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    from experiments.sweep_survival import main as imported  # workers cannot import __main__

    imported()
