"""Question: what would plans gain on a phone with a real NPU, and how much of the answer rests on its launch cost?

The NPU is hypothetical here. A trace of ResNet-50 on a Qualcomm HTP gives its launch costs and its rates by class of
layers, and the platform ``phone-htp`` has them beside an assumed core. Networks are planned with the launch cost of
the cold call, of warm ones, of what the accelerator itself waits for, of what the platform ``phone`` assumes, and with
none. The traced network is planned with the trace's own times, too.

``rates.csv`` and ``plans.csv`` are written with their sidecars, and ``tables.md`` from them; ``--page`` puts the tables
into the page.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from experiments.htp.derive import RateLine, Trace, derived, launches_s, rates, read_trace
from experiments.htp.network import traced_resnet50
from experiments.htp.tables import PlanLine, tables
from experiments.shared.records import Settings, model_names, write_rows, write_sidecar
from hetsim.analysis.scenario import parse_scenario
from hetsim.core.platform import Platform
from hetsim.costs.hypothetical.imports.device_file import imported_platform, save_device
from hetsim.costs.problems import make_problem
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.scheduler.registry import make_plan
from hetsim.sim.simulate import makespan_s

COMMAND = "python -m experiments.htp"
PLATFORM = "phone-htp"
MODELS = ("resnet50", "resnet18", "squeezenet", "mobilenet_v2", "shufflenet", "inception_v1")
BY_TRACE, BY_SHEET = "trace", "phone-htp"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def htp(
    trace: Annotated[Path, typer.Option("--trace", help="The optrace CSV.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    models: Annotated[
        str, typer.Option("--models", metavar="M,...", help="Names of the zoo, or .onnx files.")
    ] = ",".join(MODELS),
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 1000,
    page: Annotated[Path | None, typer.Option("--page", help="A page whose tables are replaced.")] = None,
) -> None:
    """Derive figures from a real NPU's trace, and plan networks with them."""
    command = shlex.join((*shlex.split(COMMAND), *sys.argv[1:]))
    found = study(trace, out, model_names(models), seed=seed, max_evaluations=max_evaluations, command=command)
    Console().print((out / "tables.md").read_text("utf-8"), markup=False, highlight=False, soft_wrap=True)
    if page is not None:
        write_atomically(page, with_tables(page.read_text("utf-8"), found).encode())


def study(
    trace: Path, out: Path, models: Sequence[str], *, seed: int, max_evaluations: int, command: str
) -> Mapping[str, str]:
    """Write the results, and return the tables by name.

    Raises:
        HetsimError: If the trace cannot be read, or a network cannot be planned.
        OSError: If the folder cannot be written.
    """
    platform = load_platform(PLATFORM)
    read = read_trace(trace, traced_resnet50())
    rate_lines = rates(read, platform.device("npu"))
    plan_lines = list(_traced_plans(read, platform, out, seed, max_evaluations))
    for name in models:
        model = load_model(name, seed=seed)
        for launch, launch_s in launches_s(read).items():
            plan_lines.append(_planned(model, platform, BY_SHEET, launch, launch_s, seed, max_evaluations))
    write_rows(out / "rates.csv", RateLine, rate_lines)
    write_rows(out / "plans.csv", PlanLine, plan_lines)
    settings: Settings = {"platform": PLATFORM, "seed": seed, "max_evaluations": max_evaluations}
    for file in ("rates", "plans"):
        write_sidecar(out / f"{file}.json", settings=settings, command=command)
    made = tables(read, rate_lines, plan_lines, derived(read, rate_lines), platform)
    text = "\n\n".join(f"<!-- {name} -->\n{table}" for name, table in made.items())
    write_atomically(out / "tables.md", f"{text}\n".encode())
    return made


def with_tables(page: str, made: Mapping[str, str]) -> str:
    """A page with each table between its mark ``<!-- NAME -->`` and ``<!-- end -->`` replaced."""
    for name, table in made.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = pattern.sub(lambda mark, table=table: f"{mark[1]}{table}\n{mark[2]}", page)  # type: ignore[misc]
    return page


def _traced_plans(trace: Trace, platform: Platform, out: Path, seed: int, max_evaluations: int) -> Iterator[PlanLine]:
    """Plans of the traced network with the trace's own times, and by the sheet."""
    file = out / "traced.toml"
    beside = imported_platform(trace.warm, file, name="npu", kind="npu", precision="i8", beside=platform)
    save_device(trace.warm, beside, file, device="npu")
    for times, devices in ((BY_TRACE, load_platform(file)), (BY_SHEET, platform)):
        for launch, launch_s in launches_s(trace).items():
            yield _planned(trace.model, devices, times, launch, launch_s, seed, max_evaluations)


def _planned(
    model: Model, platform: Platform, times: str, launch: str, launch_s: float, seed: int, max_evaluations: int
) -> PlanLine:
    """The best plan that was found for a network with a launch cost."""
    problem = parse_scenario([f"npu.launch_s={launch_s!r}"]).problem(make_problem(model, platform))
    plan = make_plan("search", problem, seed=seed, max_evaluations=max_evaluations)
    ops = tuple(op.name for op in problem.graph.ops)
    alone = {device: problem.latency(device, ops) for device in ("cpu", "npu")}
    assert alone["cpu"] is not None
    segments = [segment for segment in plan.segments if segment.device == "npu"]
    return PlanLine(
        model=model.name,
        times=times,
        launch=launch,
        launch_s=launch_s,
        cpu_s=alone["cpu"].seconds,
        npu_s=None if alone["npu"] is None else alone["npu"].seconds,
        plan_s=makespan_s(problem, plan),
        num_launches=len(segments),
        npu_ops=sum(len(segment.ops) for segment in segments) / len(ops),
    )
