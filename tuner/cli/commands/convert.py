"""``hetsim convert``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hetsim.tuner.cli.screen import say

if TYPE_CHECKING:
    from hetsim.core.problem import Problem


def convert(
    graph: Annotated[Path, typer.Argument(metavar="GRAPH", help="A WfCommons instance, .stg, or .dot or .gv.")],
    out: Annotated[Path, typer.Option("--out", help="The problem file.")],
    devices: Annotated[str, typer.Option("--devices", metavar="NAME,...", help="Devices to plan for.")] = "cpu,npu",
    speed: Annotated[
        list[str],
        typer.Option("--speed", metavar="NAME=2", help="How many times faster than in the file a device is; else 1."),
    ] = [],  # noqa: B006
    bandwidth: Annotated[
        float | None, typer.Option(help="Bytes per second between any two devices; absent: files travel for nothing.")
    ] = None,
    setup: Annotated[float, typer.Option(help="Seconds that a hand-over takes on top.")] = 0.0,
    unit: Annotated[
        float, typer.Option("--unit", metavar="SECONDS", help="A unit of time of .stg and .dot files.")
    ] = 1.0,
    task_cost: Annotated[
        str | None, typer.Option("--task-cost", metavar="NAME", help="Attribute of DOT that is the cost of a task.")
    ] = None,
    edge_cost: Annotated[
        str | None, typer.Option("--edge-cost", metavar="NAME", help="Attribute of DOT that is the cost of an edge.")
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="wfcommons, stg or dot; absent: by the ending.")
    ] = None,
) -> None:
    """Make a problem file of a task graph: a WfCommons workflow, a graph of the Standard Task Graph Set, or DOT."""
    from hetsim.core.platform import Link
    from hetsim.io.problem_file import save_problem
    from hetsim.io.task_graphs.load import load_task_graph

    link = Link(setup_s=setup, bandwidth_bytes_per_s=math.inf if bandwidth is None else bandwidth)
    problem = load_task_graph(
        graph,
        speeds=_speeds(devices, speed),
        link=link,
        unit_s=unit,
        task_cost=task_cost,
        edge_cost=edge_cost,
        file_format=file_format,
    )
    save_problem(problem, out)
    num_edges = sum(map(len, problem.graph.predecessors.values()))
    say(f"{problem.graph.name}: {len(problem.graph.ops)} tasks, {num_edges} edges, {_volume(problem)}, in {out}")


def _volume(problem: Problem) -> str:
    """What is handed on, as bytes or, on links made for costs that are times, as seconds."""
    num_bytes = sum(tensor.num_bytes for tensor in problem.graph.tensors.values())
    bandwidth = next((link.bandwidth_bytes_per_s for link in problem.platform.links.values()), math.inf)
    if bandwidth == math.inf:
        return f"{num_bytes / 1e6:.1f} MB handed on for nothing; --bandwidth changes that"
    return f"{num_bytes / 1e6:.1f} MB handed on in {num_bytes / bandwidth:g} s if each crosses between devices once"


def _speeds(devices: str, speeds: list[str]) -> dict[str, float]:
    """By device, how many times faster than in the file it is."""
    from hetsim.core.errors import ProblemError

    names = [name.strip() for name in devices.split(",") if name.strip()]
    if not names:
        raise ProblemError(f"--devices {devices!r} names no device")
    found = dict.fromkeys(names, 1.0)
    for description in speeds:
        name, _, number = description.partition("=")
        if name not in found:
            raise ProblemError(f"--speed {description!r} names device {name!r}; --devices are {', '.join(names)}")
        try:
            found[name] = float(number)
        except ValueError:
            raise ProblemError(f"--speed {description!r} must look like NAME=2") from None
    return found
