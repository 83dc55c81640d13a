"""The ``hetsim`` command."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from hetsim.analysis.breakdown import who_runs_what
from hetsim.analysis.comparison import Comparison
from hetsim.analysis.comparison import compare as compare_timelines
from hetsim.analysis.plots.comparison import draw_comparison
from hetsim.analysis.plots.timelines import draw_timelines
from hetsim.analysis.scenario import parse_scenario
from hetsim.core.errors import DeviceError, HetsimError, ModelError
from hetsim.core.load import parse_load
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.core.statistics import summarize
from hetsim.costs.profile_file import ProfileFile
from hetsim.costs.segment_costs import SegmentCosts
from hetsim.io.chrome_trace import save_trace
from hetsim.io.files import write_atomically
from hetsim.io.platform_file import builtin_platforms, format_platform, load_platform
from hetsim.models.model import random_inputs
from hetsim.models.zoo import zoo_names
from hetsim.runtime import Runtime
from hetsim.runtime.backends import available_engines, make_backend
from hetsim.runtime.machine.drift import moves
from hetsim.runtime.machine.fingerprint import available_cores, machine_fingerprint
from hetsim.runtime.measure.calibrate import calibrate as calibrate_platform
from hetsim.runtime.measure.profiler import Effort, make_header, measure_configurations, warm_up
from hetsim.runtime.nan import check_numbers
from hetsim.runtime.serving import serve
from hetsim.runtime.standby import standby, standby_plan
from hetsim.sim.simulate import simulate as simulate_plan
from hetsim.tuner.cli import planning
from hetsim.tuner.cli.arguments import (
    EveryOption,
    ForceOption,
    InFlightOption,
    ModelArgument,
    PlanOption,
    PlatformOption,
    ProfileOption,
    RequestsOption,
    SeedOption,
    SetOption,
    ShapeOption,
    hypothesis,
    read_model,
    read_plan,
    say,
    say_load,
    screen,
    warn,
)
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen
from hetsim.tuner.report.screen import print_outcome
from hetsim.tuner.steps.final_measurement import Pace, find_median_run
from hetsim.tuner.steps.provenance import profile_for
from hetsim.tuner.steps.readiness import check_machine, check_profile
from hetsim.tuner.steps.sharing import shared_runs
from hetsim.tuner.target import make_target
from hetsim.tuner.tune import Options
from hetsim.tuner.tune import tune as tune_model
from hetsim.tuner.tune_hypothetical import tune_hypothetical

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Plan one inference over a CPU and NPUs working together: measure, search, simulate, execute, compare.",
)
platform_app = typer.Typer(no_args_is_help=False, help="What is here, and how it performs.")
app.add_typer(platform_app, name="platform")


@app.command()
def tune(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is found.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006  (typer reads it)
    seed: SeedOption = 0,
    also: Annotated[
        list[str], typer.Option("--also", metavar="SCHEDULER", help="Execute this scheduler's plan as well.")
    ] = [],  # noqa: B006
    rounds: Annotated[int, typer.Option(min=1, help="How often the search learns what its plans really take.")] = 4,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            metavar="SECONDS",
            help="Rounds and the search of splits end by then, as on Ctrl-C; the finals come on top.",
        ),
    ] = None,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 60,
    splits: Annotated[
        bool, typer.Option(help="Look for plans in which several devices work on one operator, too.")
    ] = True,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Profile, plan with every scheduler, simulate, execute, and keep the plan that measured best.

    What --set changes is profiled as it is, and then emulated as it would be.
    """
    changes = parse_scenario(scenario)
    options = Options(
        seed=seed,
        also=tuple(also),
        rounds=rounds,
        time_limit_s=time_limit,
        max_evaluations=max_evaluations,
        effort=Effort(repeats=repeats),
        pace=Pace(num_runs=runs),
        splits=splits,
        command=("hetsim", *sys.argv[1:]),
    )
    found, where, stages = read_model(model, shape), load_platform(platform), OnScreen(screen)
    if changes:
        outcome = tune_hypothetical(found, where, out, changes, options=options, stages=stages)
        warn(hypothesis(changes))
    else:
        outcome = tune_model(found, where, out, options=options, stages=stages)
    print_outcome(outcome, screen)
    say(f"Look at {out / 'report.html'} and {out / 'timeline.png'}; open {out / 'measured.trace.json'} in Perfetto.")


@app.command()
def profile(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The profile; an existing one is resumed.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
) -> None:
    """Measure operators and groups of operators on every device that is here."""
    found, described, stages, effort = (
        read_model(model, shape),
        load_platform(platform).measured_part(),
        OnScreen(screen),
        Effort(repeats=repeats),
    )
    check_machine(described, stages)
    with Runtime(described) as runtime, ProfileFile(out, make_header(runtime, found)) as file:
        check_profile(runtime, found, file.profile, effort=effort, stages=stages)
        with stages.stage("profile") as report:
            measure_configurations(runtime, found, file, effort=effort, progress=report)
        measured = file.profile
    table = Table("device", "segment", "operators", "median ms", "95 % interval", "samples", box=None)
    for device in measured.header.engines:
        slowest = sorted(
            ((measured.summary(device, ops), ops) for ops in measured.measured(device)),
            key=lambda entry: -(entry[0].median_s if entry[0] else 0.0),
        )
        for summary, ops in slowest[:8]:
            if summary is not None:
                table.add_row(
                    device,
                    ops[0],
                    str(len(ops)),
                    f"{summary.median_s * 1e3:.3f}",
                    f"{summary.low_s * 1e3:.3f} - {summary.high_s * 1e3:.3f}",
                    str(summary.num_samples),
                )
    screen.print(table)
    say(
        f"{measured.num_segments} segments, {measured.num_samples} samples in {out}; above, the slowest of each device."
    )
    launch_s = {device.name: device.launch_s for device in described.devices}
    for device, left_out in SegmentCosts(measured, found.graph, launch_s).left_out.items():
        if left_out:
            worst = max(left_out, key=lambda one: abs(one.relative_error))
            median_run = median(abs(one.relative_error) for one in left_out)
            say(
                f"{device}: segments of several operators, each predicted from the others: {median_run:.1%} off in the "
                f"median of {len(left_out)}, {abs(worst.relative_error):.0%} at worst (from {worst.ops[0]}, "
                f"{len(worst.ops)} operators)"
            )
    for device in measured.header.engines:
        for ops, reason in measured.unsupported(device).items():
            say(f"{device} refuses {ops[0]} ({len(ops)} operators): {reason}")


app.command()(planning.plan)
app.command()(planning.simulate)
app.command()(planning.explain)
app.command()(planning.convert)


@app.command()
def run(
    model: ModelArgument,
    plan: PlanOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    seed: SeedOption = 0,
    requests: RequestsOption = 20,
    every: EveryOption = "",
    in_flight: InFlightOption = 1,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An .npz file with the model's inputs.")] = None,
    outputs: Annotated[Path | None, typer.Option("--outputs", help="Where to put the outputs, as .npz.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the typical run's timeline.")] = None,
    on_fault: Annotated[str, typer.Option("--on-fault", help="The device that finishes what others fail at.")] = "",
    scenario: SetOption = [],  # noqa: B006
    profile: Annotated[
        Path | None, typer.Option("--profile", help="With --set: what the devices that are changed take as they are.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Execute a plan on the devices, one inference after the other or under a load; changed devices are emulated."""
    whole, where = read_model(model, shape), load_platform(platform)
    load = parse_load(requests, every, in_flight)
    found, read = read_plan(whole, plan)
    given = random_inputs(found, seed=seed) if inputs is None else _read_inputs(inputs)
    changes = parse_scenario(scenario)
    measured, warnings = (None, ()) if profile is None else profile_for(found, where, profile, force=force)
    target = make_target(found, where, changes, profile=measured, inputs=given)
    warn((*warnings, *hypothesis(changes)))
    where = target.platform
    check_machine(where, OnScreen(screen))
    with ExitStack() as stack:
        spare = stack.enter_context(standby(where, whole, on_fault, num_slots=in_flight)) if on_fault else None
        runtime = stack.enter_context(Runtime(where))
        session = stack.enter_context(runtime.load(found, read, num_slots=in_flight, emulation=target.emulation))
        try:
            warm_up(session, given)
            served = serve(session, given, load)
            check_numbers(runtime, found, read, given, served.inferences, emulation=target.emulation)
        except DeviceError as error:
            if spare is None:
                raise
            warn([f"{error}; {on_fault!r} does it alone"])
            found, read, served = whole, standby_plan(whole, on_fault), serve(spare, given, load)
    latency = summarize(served.timeline.latencies_s)
    median_run = find_median_run(served.inferences)
    if outputs is not None:
        content = BytesIO()
        np.savez(content, allow_pickle=False, **median_run.outputs)
        write_atomically(outputs, content.getvalue())
    if trace is not None:
        save_trace(median_run.timeline, trace, platform=where, graph=found.graph, label="measured")
    if picture is not None:
        draw_timelines(None, median_run.timeline, picture, platform=where, graph=found.graph, title=found.graph.name)
    say(
        f"{latency.median_s * 1e3:.2f} ms median of {latency.num_samples} "
        f"(95 % interval {latency.low_s * 1e3:.2f} - {latency.high_s * 1e3:.2f})"
    )
    say_load(served.timeline, load)
    for assignment in who_runs_what(found.graph, read, median_run.timeline, where, found.original_op):
        say(f"  {assignment}")
    for run in shared_runs(whole, read):
        say(f"  in parts: {run}")


@app.command()
def compare(
    model: ModelArgument,
    plan: PlanOption,
    profile: ProfileOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    requests: Annotated[int, typer.Option(min=1, help="Inferences to run; the typical one is compared.")] = 20,
    force: ForceOption = False,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw where the difference comes from.")] = None,
    scenario: SetOption = [],  # noqa: B006
) -> None:
    """Simulate a plan, execute it, and say where the difference comes from; changed devices are emulated."""
    where = load_platform(platform)
    found, read = read_plan(read_model(model, shape), plan)
    measured, warnings = profile_for(found, where, profile, force=force)
    given, changes = random_inputs(found), parse_scenario(scenario)
    target = make_target(found, where, changes, profile=measured, inputs=given)
    simulated = simulate_plan(target.plan_problem(measured, read), read)
    warnings, where = (*warnings, *hypothesis(changes)), target.platform
    check_machine(where, OnScreen(screen))
    with Runtime(where) as runtime, runtime.load(found, read, emulation=target.emulation) as session:
        warm_up(session, given)
        median_run = find_median_run([session.run(given) for _ in range(requests)])
    comparison = compare_timelines(found.graph, read, simulated, median_run.timeline, where)
    if picture is not None:
        title = f"{found.graph.name}: simulated against measured"
        draw_comparison(comparison, picture, platform=where, title="\n".join((title, *warnings)))
    warn(warnings)
    _print_comparison(comparison, where)


@app.command()
def zoo() -> None:
    """List the models that come by name."""
    for name in zoo_names():
        say(name)


@platform_app.callback(invoke_without_command=True)
def platform(context: typer.Context) -> None:
    """List the engines and devices that are really here, and the platforms that they allow."""
    if context.invoked_subcommand is not None:
        return
    say(f"{machine_fingerprint()}; this process may use cores {', '.join(map(str, available_cores()))}")
    for engine, targets in available_engines().items():
        say(f"engine {engine}: {targets}")
    for name in builtin_platforms():
        described = load_platform(name)
        say(f"platform {name}: {described.description}")
        for device in described.devices:
            if device.source is not None:
                say(f"  {device.label}: {device.source.description}")
                continue
            try:
                description = f"{make_backend(device).describe()}, cores {', '.join(map(str, device.cores)) or 'any'}"
            except HetsimError as error:
                description = f"NOT AVAILABLE: {error}"
            say(f"  {device.label}: {description}")


@platform_app.command()
def calibrate(
    out: Annotated[Path, typer.Option("--out", help="The calibrated platform file.")],
    name: Annotated[str, typer.Argument(metavar="[NAME|FILE]", help="The platform.")] = DEFAULT_PLATFORM,
) -> None:
    """Measure hand-overs, launches and memory, and write a platform file that holds them."""
    before = load_platform(out) if out.exists() else None
    where = load_platform(name)
    check_machine(where, OnScreen(screen))
    with Runtime(where) as runtime, OnScreen(screen).stage("calibrate") as report:
        found = calibrate_platform(runtime, progress=report)
    write_atomically(out, format_platform(found).encode())
    for device in found.devices:
        alone = found.memory.alone_bytes_per_s[device.name] / 1e9
        say(f"{device.label}: launch {device.launch_s * 1e6:.1f} us, memory alone {alone:.1f} GB/s")
    for (source, target), link in found.links.items():
        say(
            f"{source}->{target}: hand-over {link.setup_s * 1e6:.2f} us, and "
            f"{1e12 / link.bandwidth_bytes_per_s:.1f} us for each MB"
        )
    host = found.host
    say(
        f"host: submitting {host.submit_setup_s * 1e6:.0f} us, collecting {host.collect_setup_s * 1e6:.0f} us, and "
        f"{1e12 / host.bandwidth_bytes_per_s:.1f} us for each MB"
    )
    say(f"memory shared by all: {found.memory.shared_bytes_per_s / 1e9:.1f} GB/s; written to {out}")
    if before is not None and before.calibration is not None:
        table = Table("moved since " + before.calibration.date, "before", "now", "ratio", box=None)
        for move in moves(before, found):
            table.add_row(Text(move.path), f"{move.before:.3g}", f"{move.after:.3g}", f"{move.ratio:.2f}")
        screen.print(table)


def _read_inputs(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read inputs from {path}: {error}; give an .npz file with one array for each input"
        ) from None


def _print_comparison(comparison: Comparison, platform: Platform) -> None:
    parts = Table("part", "ms", box=None)
    parts.columns[1].justify = "right"
    parts.add_row("simulated", f"{comparison.simulated_s * 1e3:.3f}")
    for part, part_s in comparison.parts_s.items():
        parts.add_row(f"  {part}", f"{part_s * 1e3:+.3f}")
    parts.add_row("measured", f"{comparison.measured_s * 1e3:.3f}")
    screen.print(parts)
    labels = {device.name: device.label for device in platform.devices}
    spans = Table("device", "segment", "mostly", "simulated ms", "measured ms", "difference ms", box=None)
    for column in spans.columns[3:]:
        column.justify = "right"
    for span in comparison.worst():
        spans.add_row(
            labels[span.device],
            Text(span.label),  # operators may have any name, brackets too
            span.part,
            f"{span.simulated_s * 1e3:.3f}",
            f"{span.measured_s * 1e3:.3f}",
            f"{span.difference_s * 1e3:+.3f}",
        )
    say("The spans that contribute most:")
    screen.print(spans)


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command="hetsim")
