"""``hetsim convert``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from hetsim.tuner.cli.screen import say


def convert(
    workflow: Annotated[Path, typer.Argument(metavar="WORKFLOW", help="A WfCommons instance, JSON.")],
    out: Annotated[Path, typer.Option("--out", help="The problem file.")],
    devices: Annotated[str, typer.Option("--devices", metavar="NAME,...", help="Devices to plan for.")] = "cpu,npu",
    speed: Annotated[
        list[str],
        typer.Option("--speed", metavar="NAME=2", help="How many times faster than recorded a device is; else 1."),
    ] = [],  # noqa: B006
    bandwidth: Annotated[
        float | None, typer.Option(help="Bytes per second between any two devices; absent: files travel for nothing.")
    ] = None,
    setup: Annotated[float, typer.Option(help="Seconds that a hand-over takes on top.")] = 0.0,
) -> None:
    """Make a problem file of a scientific workflow that was recorded in the WfCommons format."""
    from hetsim.core.platform import Link
    from hetsim.io.problem_file import save_problem
    from hetsim.io.wfcommons import load_workflow

    link = Link(setup_s=setup, bandwidth_bytes_per_s=math.inf if bandwidth is None else bandwidth)
    found = load_workflow(workflow, speeds=_speeds(devices, speed), link=link)
    save_problem(found, out)
    graph = found.graph
    num_edges = sum(map(len, graph.predecessors.values()))
    total_bytes = sum(tensor.num_bytes for tensor in graph.tensors.values())
    say(f"{graph.name}: {len(graph.ops)} tasks, {num_edges} edges, {total_bytes / 1e6:.1f} MB handed on, in {out}")
    if bandwidth is None:
        say("Files travel between devices for nothing; --bandwidth changes that.")


def _speeds(devices: str, speeds: list[str]) -> dict[str, float]:
    """By device, how many times faster than recorded it is."""
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
