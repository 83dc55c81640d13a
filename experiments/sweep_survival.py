"""Question: does a sweep on a Dask cluster survive that a worker dies and that the sweep itself is stopped?

The sweep is a real one: a random layered problem on a hypothetical CPU and NPU, planned anew for every speed of the NPU
and every bandwidth of the memory on a square map. A local cluster of worker processes computes it. Once 30 % of the
points are there, one worker is killed; once 60 % are there, the sweep is stopped, and then begun again from its file;
at last it is asked for once more. Every computation of a point is noted by the worker that does it, so what was done
twice is counted and not believed.

``sweep_survival.csv`` has the map, ``sweep_survival.jsonl`` is the file that the sweep grew in, and
``sweep_survival.json`` says where they come from.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.shared.random_graphs import layered_problem
from experiments.shared.records import write_rows, write_sidecar
from experiments.sweeps.sweep import sweep
from experiments.sweeps.workers import on_dask
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
"""What all devices at work demand of the memory, over what it sustains, where the map has bandwidth 1."""
KILL_AT, STOP_AT = 0.3, 0.6
SCHEDULERS = ("heft", "single:cpu", "single:npu")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Machine:
    """A point of the map.

    Attributes:
        npu_speed: How many times faster than in the problem the NPU is.
        bandwidth: The same of the memory.
    """

    npu_speed: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class Planned:
    """What is found at a point, by SimPy.

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
    """A line of sweep_survival.csv: a point and what is found there; ``gain`` is over the better single device."""

    npu_speed: float
    bandwidth: float
    heft_s: float
    cpu_s: float
    npu_s: float
    gain: float
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What happened.

    Attributes:
        num_points: Points of the map.
        num_saved: Points in the file when the sweep was stopped.
        num_before: Computations until then.
        num_after: Computations when it went on.
        num_again: Computations when everything was there.
        num_lost: Points without a result in the end.
        num_processes: Processes that computed.
        took_s: Seconds for all of it.
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


class _Stopped(Exception):  # noqa: N818  (what a person does, not an error)
    """Somebody stopped the sweep."""


@lru_cache(maxsize=1)
def _problem(seed: int) -> Problem:
    """The problem, made once by each worker."""
    return layered_problem(NUM_OPS, seed=seed, contention=CONTENTION)


def planned(calls: Path, seed: int, machine: Machine) -> Planned:
    """The problem planned for a machine; the computation is noted in ``calls``, with the number of its process."""
    with open(calls, "ab", buffering=0) as file:  # a line is appended whole, whoever else appends
        file.write(b"%d\n" % os.getpid())
    problem = _problem(seed)

    def latency(device: str, ops: tuple[str, ...]) -> Latency:
        seconds = problem.cost_s(device, ops)
        return Latency(seconds / machine.npu_speed if device == "npu" else seconds)

    memory = Memory(shared_bytes_per_s=problem.platform.memory.shared_bytes_per_s * machine.bandwidth)
    own = replace(problem, platform=replace(problem.platform, memory=memory), latency_function=latency, _known={})
    plans = [make_plan(name, own) for name in SCHEDULERS]
    heft_s, cpu_s, npu_s = (makespan_s(own, plan) for plan in plans)
    return Planned(heft_s=heft_s, cpu_s=cpu_s, npu_s=npu_s, plan_id=plans[0].digest)


@app.command()
def sweep_survival(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    side: Annotated[
        int, typer.Option("--side", min=2, help="Speeds, and bandwidths; the map has their product.")
    ] = 100,
    num_workers: Annotated[int, typer.Option("--workers", min=2, help="Processes of the local cluster.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the problem.")] = 0,
) -> None:
    """Kill a worker of a sweep on a Dask cluster, stop the sweep, go on with it, and count."""
    console = Console()
    found = survive(out, side=side, num_workers=num_workers, seed=seed, stages=OnScreen(console))
    gains = [line.gain for line in found.lines]
    description = (
        f"{found.num_points:,} points on a local Dask cluster of {num_workers} workers, one worker killed: "
        f"{found.num_lost} lost, in {found.took_s:.0f} s",
        f"  stopped at {found.num_saved:,} points after {found.num_before:,} computations: "
        f"{found.num_before - found.num_saved:,} died with the worker or were under way",
        f"  gone on with: {found.num_after:,} computations for {found.num_points - found.num_saved:,} missing points",
        f"  asked for again: {found.num_again:,} computations",
        f"  {found.num_processes} processes computed; {len({line.plan_id for line in found.lines})} different plans; "
        f"gain over the better single device {min(gains):.2f}x to {max(gains):.2f}x (hypothetical devices)",
    )
    for line in description:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def survive(out: Path, *, side: int, num_workers: int = 2, seed: int = 0, stages: Stages | None = None) -> Survival:
    """What a sweep of ``side * side`` points goes through; the results are in ``out``.

    Raises:
        SweepError: If the folder holds such a sweep already, or dask.distributed is not installed.
        OSError: If the folder cannot be written.
    """
    stages = stages or Silent()
    path, calls = out / "sweep_survival.jsonl", out / "computations.txt"
    if path.exists() or calls.exists():
        raise SweepError(f"{out} holds a sweep already, and this one must begin with nothing; choose another folder")
    try:
        from distributed import LocalCluster
    except ImportError:
        raise SweepError("this needs dask.distributed, an extra: pip install 'hetsim[dask]'") from None
    out.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    points = [Machine(speed, bandwidth) for speed in _steps(side) for bandwidth in _steps(side)]
    settings = {"seed": seed, "num_ops": NUM_OPS, "contention": CONTENTION, "schedulers": list(SCHEDULERS)}
    with (
        LocalCluster(
            n_workers=num_workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        on_dask(cluster.scheduler_address) as workers,
    ):

        def run(title: str, disturb: Callable[[float], None]) -> list[Planned]:
            with stages.stage(title) as report:
                told = _both(report, disturb)
                function = partial(planned, calls.resolve(), seed)
                return sweep(function, points, Planned, workers=workers, path=path, settings=settings, report=told)

        victims: list[int] = []

        def kill_then_stop(done: float) -> None:
            if done >= KILL_AT and not victims:
                victims.append(next(iter(cluster.workers.values())).pid)
                os.kill(victims[0], signal.SIGKILL)
            if done >= STOP_AT:
                raise _Stopped

        with suppress(_Stopped):
            run("until it is stopped", kill_then_stop)
        num_saved = path.read_bytes().count(b'"result"')
        num_before = _count_at_rest(calls)
        found = run("the rest", lambda _done: None)
        num_after = _count(calls) - num_before
        again = run("once more", lambda _done: None)
    lines = tuple(_line(*pair) for pair in zip(points, again, strict=True))
    write_rows(out / "sweep_survival.csv", MapLine, lines)
    write_sidecar(out / "sweep_survival.json", settings={"seed": seed, "side": side}, command=_command())
    return Survival(
        num_points=len(points),
        num_saved=num_saved,
        num_before=num_before,
        num_after=num_after,
        num_again=_count(calls) - num_before - num_after,
        num_lost=len(points)
        - path.read_bytes().count(b'"result"')
        + sum(a != b for a, b in zip(found, again, strict=True)),
        num_processes=len(set(calls.read_text().split())),
        took_s=time.monotonic() - started_s,
        lines=lines,
    )


def _steps(count: int) -> list[float]:
    """From 1/4 to 16, equal ratios apart."""
    return [float(f"{2 ** (6 * i / (count - 1) - 2):.4g}") for i in range(count)]


def _both(report: Report, disturb: Callable[[float], None]) -> Report:
    def told(done: float, description: str) -> None:
        report(done, description)
        disturb(done)

    return told


def _count_at_rest(calls: Path) -> int:
    """The computations once those that were under way have ended, which nobody waits for."""
    count = -1
    while count != (count := _count(calls)):
        time.sleep(1.0)
    return count


def _count(calls: Path) -> int:
    return calls.read_bytes().count(b"\n")


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
    from experiments.sweep_survival import main as imported  # workers cannot import from __main__

    imported()
