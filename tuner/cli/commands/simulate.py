"""``hetsim simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hetsim.tuner.cli.arguments import (
    CustomOpsOption,
    EveryOption,
    FixOption,
    ForceOption,
    InFlightOption,
    MaybeModel,
    MaybePlatform,
    MaybeProfile,
    PlanOption,
    ProblemOption,
    RequestsOption,
    SeedOption,
    SetOption,
    ShapeOption,
)
from hetsim.tuner.cli.screen import say, say_load, warn

if TYPE_CHECKING:
    from hetsim.core.plan import Plan
    from hetsim.sim.segments import DurationFunction
    from hetsim.tuner.cli.sources import Source


def simulate(
    plan: PlanOption,
    model: MaybeModel = None,
    problem: ProblemOption = None,
    profile: MaybeProfile = None,
    platform: MaybePlatform = None,
    shape: ShapeOption = [],  # noqa: B006
    fix: FixOption = [],  # noqa: B006
    custom_ops: CustomOpsOption = [],  # noqa: B006
    requests: RequestsOption = 1,
    every: EveryOption = "",
    in_flight: InFlightOption = 1,
    noise: Annotated[bool, typer.Option("--noise", help="Draw durations from the profile's samples.")] = False,
    seed: SeedOption = 0,
    force: ForceOption = False,
    scenario: SetOption = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="Print the timeline as JSON.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the timeline.")] = None,
) -> None:
    """Simulate a plan, for one inference or under a load; nothing is executed."""
    from hetsim.analysis.breakdown import device_assignments
    from hetsim.analysis.scenario import parse_scenario
    from hetsim.core.load import parse_load
    from hetsim.io.chrome_trace import save_trace
    from hetsim.io.plan_file import load_plan
    from hetsim.io.timeline_json import timeline_json
    from hetsim.tuner.api.simulate import simulate as simulate_plan
    from hetsim.tuner.cli.sources import Bindings, draw_simulation, read_source

    load = parse_load(requests, every, in_flight) if requests > 1 else None
    loaded = load_plan(plan)
    changes = parse_scenario(scenario)
    bindings = Bindings(shape, fix, custom_ops)
    source = read_source(model, problem, profile, platform, bindings, plan=loaded, force=force, scenario=changes)
    found = source.problem.for_plan(loaded)
    loaded = loaded.in_order(found.graph)
    timeline = simulate_plan(found, loaded, load=load, duration_s=_noise(source, loaded, seed) if noise else None)
    if trace is not None:
        save_trace(timeline, trace, platform=found.platform, graph=found.graph, label="simulated")
    if picture is not None:
        draw_simulation(timeline, picture, source)
    if json:
        typer.echo(timeline_json(timeline, source.warnings))
        return
    warn(source.warnings)
    if load is None:
        say(f"{timeline.makespan_s * 1e3:.2f} ms simulated, {loaded.num_segments} segments")
    else:
        say_load(timeline, load)
    for assignment in device_assignments(found.graph, loaded, timeline, found.platform):
        say(f"  {assignment}")


def _noise(source: Source, plan: Plan, seed: int) -> DurationFunction:
    """Durations drawn from the samples of the profile."""
    from hetsim.core.errors import ProblemError
    from hetsim.costs.noise import measured_noise

    if source.profile is None:
        raise ProblemError("--noise draws from the samples of a profile, and none is given; leave it out")
    return measured_noise(source.problem, source.profile, plan, seed=seed)
