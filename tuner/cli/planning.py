"""Commands that measure and execute nothing: ``hetsim plan``, ``simulate``, ``explain`` and ``convert``.

They take a model with its profile, or a problem file, which needs neither ONNX nor devices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from hetsim.analysis.breakdown import who_runs_what
from hetsim.analysis.plots.timelines import draw_timelines
from hetsim.analysis.scenario import Scenario, parse_scenario
from hetsim.core.errors import ProblemError
from hetsim.core.load import parse_load
from hetsim.core.plan import Plan
from hetsim.core.platform import DEFAULT_PLATFORM, Link
from hetsim.core.problem import Problem
from hetsim.core.timeline import Timeline
from hetsim.costs.noise import measured_noise
from hetsim.costs.problems import make_problem, plan_problem
from hetsim.costs.profile import Profile
from hetsim.io.chrome_trace import save_trace
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.io.platform_file import load_platform
from hetsim.io.problem_file import load_problem, save_problem
from hetsim.io.wfcommons import load_workflow
from hetsim.models.split.planned import planned_model
from hetsim.scheduler.effort import Effort
from hetsim.sim.simulate import simulate as simulate_plan
from hetsim.tuner.cli.arguments import (
    EveryOption,
    ForceOption,
    InFlightOption,
    PlanOption,
    RequestsOption,
    SeedOption,
    SetOption,
    ShapeOption,
    hypothesis,
    read_model,
    say,
    say_load,
    screen,
    warn,
)
from hetsim.tuner.cli.explain import draw_sensitivity, explanation_json, print_explanation, summary_lines
from hetsim.tuner.cli.explain import explain as explain_plan
from hetsim.tuner.cli.solving import solve_on_screen
from hetsim.tuner.progress import OnScreen, Silent
from hetsim.tuner.steps.provenance import profile_for

MaybeModel = Annotated[str | None, typer.Argument(metavar="MODEL", help="An .onnx file, or a name from `hetsim zoo`.")]
ProblemOption = Annotated[
    Path | None, typer.Option("--problem", help="A problem file instead of MODEL, --profile and --platform.")
]
MaybeProfile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        help="A profile made by `hetsim profile` or `hetsim tune`; hypothetical devices need none.",
    ),
]
MaybePlatform = Annotated[
    str | None,
    typer.Option(
        "--platform",
        metavar="NAME|FILE",
        help="A built-in platform or a TOML file.",
        show_default=DEFAULT_PLATFORM,
    ),
]


def plan(
    out: Annotated[Path, typer.Option("--out", help="Where the plan goes.")],
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Who plans.")] = "search",
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006  (typer reads it)
    seed: SeedOption = 0,
    max_evaluations: Annotated[
        int | None, typer.Option(metavar="N", help="Candidates that the scheduler may evaluate; absent: its own limit.")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="When to be content with the best so far, as on Ctrl-C.")
    ] = None,
    force: ForceOption = False,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Plan a model from a profile, or a problem file; nothing is measured."""
    source = _source(model, problem, profile, platform, shape, force=force, scenario=parse_scenario(scenario))
    solution = solve_on_screen(
        scheduler,
        source.problem,
        OnScreen(screen),
        seed=seed,
        max_evaluations=max_evaluations,
        time_limit_s=time_limit,
    )
    made = solution.plan
    save_plan(made, out)
    timeline = simulate_plan(source.problem, made)
    warn(source.warnings)
    say(f"{scheduler}: {timeline.makespan_s * 1e3:.2f} ms simulated, {made.num_segments} segments, in {out}")
    say(f"  bound {solution.bound_s * 1e3:.2f} ms, gap {solution.gap:.2%}: {solution.verdict}")
    say(f"  planned in {solution.planning_s:.2f} s, {solution.num_evaluations} evaluations")
    for assignment in who_runs_what(source.problem.graph, made, timeline, source.problem.platform):
        say(f"  {assignment}")


def simulate(
    plan: PlanOption,
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006
    requests: RequestsOption = 1,
    every: EveryOption = "",
    in_flight: InFlightOption = 1,
    noise: Annotated[bool, typer.Option("--noise", help="Draw durations from the profile's samples.")] = False,
    seed: SeedOption = 0,
    force: ForceOption = False,
    scenario: SetOption = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="Print the timeline as JSON.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
) -> None:
    """Simulate a plan, for one inference or under a load; nothing is executed."""
    load = parse_load(requests, every, in_flight) if requests > 1 else None
    read = load_plan(plan)
    changes = parse_scenario(scenario)
    source = _source(model, problem, profile, platform, shape, plan=read, force=force, scenario=changes)
    found = source.problem
    read = read.in_order(found.graph)
    drawn = None
    if noise:
        if source.profile is None:
            raise ProblemError("--noise draws from the samples of a profile, and none is given; leave it out")
        drawn = measured_noise(found, source.profile, read, seed=seed)
    timeline = simulate_plan(found, read, load=load, duration_s=drawn)
    if trace is not None:
        save_trace(timeline, trace, platform=found.platform, graph=found.graph, label="simulated")
    if json:
        typer.echo(_as_json(timeline, source.warnings))
        return
    warn(source.warnings)
    if load is None:
        say(f"{timeline.makespan_s * 1e3:.2f} ms simulated, {read.num_segments} segments")
    else:
        say_load(timeline, load)
    for assignment in who_runs_what(found.graph, read, timeline, found.platform, source.original_op):
        say(f"  {assignment}")


def explain(
    plan: PlanOption,
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006
    faster: Annotated[
        float, typer.Option("--faster", metavar="PERCENT", help="By how much each thing is faster.")
    ] = 10,
    replan: Annotated[
        int, typer.Option("--replan", min=0, metavar="N", help="Plan anew for the N changes that save most.")
    ] = 3,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Who plans anew.")] = "search",
    seed: SeedOption = 0,
    max_evaluations: Annotated[
        int | None, typer.Option(metavar="N", help="Candidates that each planning may evaluate; absent: its own limit.")
    ] = None,
    force: ForceOption = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the timeline with the critical path on it.")
    ] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="Draw what each change saves, as bars.")] = None,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Say which operator, link or device, made a little faster, shortens a plan's latency most."""
    if not 0 < faster < math.inf:
        raise ProblemError(f"--faster {faster:g} makes nothing faster; give a percentage above 0")
    read, changes = load_plan(plan), parse_scenario(scenario)
    source = _source(model, problem, profile, platform, shape, plan=read, force=force, scenario=changes)
    found = source.problem
    read = read.in_order(found.graph)
    anew = found
    if replan and model is not None:  # another plan does not have this one's replays
        anew = _source(model, problem, profile, platform, shape, force=force, scenario=changes).problem
    explained = explain_plan(
        found,
        read,
        factor=1 + faster / 100,
        stages=Silent() if json else OnScreen(screen),
        replan=replan,
        planning_problem=anew,
        scheduler=scheduler,
        effort=Effort(seed=seed, max_evaluations=max_evaluations),
    )
    title = f"{found.graph.name} on {found.platform.name}"
    if picture is not None:
        draw_timelines(
            explained.timeline,
            None,
            picture,
            platform=found.platform,
            graph=found.graph,
            title="\n".join((title, *source.warnings)),
            critical=explained.path.spans,
        )
    if chart is not None:
        draw_sensitivity(
            explained, chart, title=f"What would shorten this plan: {title}", subtitle="; ".join(source.warnings)
        )
    if json:
        typer.echo(explanation_json(explained, source.warnings))
        return
    warn(source.warnings)
    first, *others = summary_lines(explained)
    say(first)
    print_explanation(explained, screen)
    for line in others:
        say(line)


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


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a command plans or simulates from.

    Attributes:
        problem: The problem.
        profile: What it was made from; None for a problem file.
        wholes: If ``problem`` is about a model, rewritten or not, its :attr:`~hetsim.models.Model.original_op`.
        warnings: What is not as it should be about that.
    """

    problem: Problem
    profile: Profile | None = None
    original_op: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()


def _source(
    model: str | None,
    problem: Path | None,
    profile: Path | None,
    platform: str | None,
    shape: list[str],
    *,
    plan: Plan | None = None,
    force: bool,
    scenario: Scenario,
) -> _Source:
    """What MODEL and its options, or the problem file, stand for, changed; costs as ``plan`` meets them, if given.

    Raises:
        HetsimError: If both are given, or neither, or anything about them is wrong.
    """
    if (model is None) == (problem is None):
        raise ProblemError("give either a MODEL with its --profile, or --problem FILE")
    if problem is not None:
        for name, given in (("--profile", profile), ("--platform", platform), ("--shape", shape)):
            if given:
                raise ProblemError(f"{name} belongs to a MODEL; a problem file says itself what it costs and where")
        return _Source(problem=scenario.problem(load_problem(problem)), warnings=hypothesis(scenario))
    assert model is not None
    where = load_platform(platform or DEFAULT_PLATFORM)
    if profile is None and any(device.source is None for device in where.devices):
        description = "" if platform is None else f" --platform {platform}"
        raise ProblemError(
            f"{model} needs --profile FILE; measure it with: hetsim profile {model}{description} --out FILE"
        )
    if any(device.architecture is not None for device in where.devices):
        typer.echo("asking ZigZag, which takes seconds for each shape of operator that is new to it", err=True)
    found = read_model(model, shape)
    measured, warnings = (None, ()) if profile is None else profile_for(found, where, profile, force=force)
    if plan is None:
        made = make_problem(found, where, measured)
    else:
        found = planned_model(found, plan)
        made = plan_problem(found, where, measured, plan.in_order(found.graph))
    return _Source(
        problem=scenario.problem(made),
        profile=measured,
        original_op=found.original_op,
        warnings=(*warnings, *hypothesis(scenario)),
    )


def _as_json(timeline: Timeline, warnings: Sequence[str] = ()) -> str:
    spans = [
        {
            "device": span.device,
            "ops": span.ops,
            "kind": span.kind,
            "start_s": span.start_s,
            "end_s": span.end_s,
            **({"request": span.request} if len(timeline.arrivals_s) > 1 else {}),
        }
        for span in timeline.spans
    ]
    content: dict[str, object] = {"makespan_s": timeline.makespan_s, "spans": spans}
    if len(timeline.arrivals_s) > 1:
        content |= {"latencies_s": timeline.latencies_s, "throughput_per_s": timeline.throughput_per_s}
    if warnings:
        content["warnings"] = list(warnings)
    return msgspec.json.encode(content).decode()
