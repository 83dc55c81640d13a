"""The ``hetsim`` command."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetsim.breakdown import who_runs_what
from hetsim.compare import Comparison
from hetsim.compare import compare as compare_timelines
from hetsim.costs import make_problem, plan_problem
from hetsim.errors import HetsimError, ModelError, PlanError
from hetsim.files import write_atomically
from hetsim.machine.fingerprint import available_cores, machine_fingerprint
from hetsim.machine.platform import DEFAULT_PLATFORM, Platform, builtin_platforms, format_platform, load_platform
from hetsim.model import Model, load_model, random_inputs, zoo_names
from hetsim.pictures import draw_comparison, draw_timelines
from hetsim.plan import Plan, load_plan, save_plan
from hetsim.profile import Profile, ProfileFile, load_profile
from hetsim.simulate import simulate as simulate_plan
from hetsim.statistics import summarize
from hetsim.timeline import Timeline
from hetsim.trace import save_trace
from runtime import Runtime
from runtime.backends import available_engines, make_backend
from runtime.calibrate import calibrate as calibrate_platform
from runtime.profiler import Effort, make_header, profile_covers
from tuner.exits import run_to_exit
from tuner.finals import Pace, typical_run
from tuner.progress import OnScreen
from tuner.report import print_outcome
from tuner.solving import solve_on_screen
from tuner.tune import Options
from tuner.tune import tune as tune_model

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Plan one inference over a CPU and NPUs working together: measure, search, simulate, execute, compare.",
)
platform_app = typer.Typer(no_args_is_help=False, help="What is here, and how it performs.")
app.add_typer(platform_app, name="platform")

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="An .onnx file, or a name from `hetsim zoo`.")]
PlatformOption = Annotated[
    str, typer.Option("--platform", metavar="NAME|FILE", help="A built-in platform or a TOML file.")
]
ShapeOption = Annotated[
    list[str], typer.Option("--shape", metavar="NAME=1,3,224,224", help="Shape of an input whose dimensions are open.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Everything random comes from it.")]
PlanOption = Annotated[Path, typer.Option("--plan", help="A plan file.")]
ProfileOption = Annotated[Path, typer.Option("--profile", help="A profile made by `hetsim profile` or `hetsim tune`.")]

_out = Console(soft_wrap=False)


@app.command()
def tune(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is found.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006  (typer reads it)
    seed: SeedOption = 0,
    rounds: Annotated[int, typer.Option(min=1, help="How often the search learns what its plan really takes.")] = 4,
    max_evaluations: Annotated[int, typer.Option(min=0, help="Candidates that each search simulates.")] = 3000,
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
    runs: Annotated[int, typer.Option(min=3, help="Counted executions of each plan.")] = 60,
) -> None:
    """Profile, plan with every scheduler, simulate, execute, and keep the plan that measured best."""
    outcome = tune_model(
        _model(model, shape),
        load_platform(platform),
        out,
        options=Options(
            seed=seed,
            rounds=rounds,
            max_evaluations=max_evaluations,
            effort=Effort(repeats=repeats),
            pace=Pace(num_runs=runs),
            command=("hetsim", *sys.argv[1:]),
        ),
        stages=OnScreen(_out),
    )
    print_outcome(outcome, _out)
    _say(f"Look at {out / 'report.html'} and {out / 'timeline.png'}; open {out / 'measured.trace.json'} in Perfetto.")


@app.command()
def profile(
    model: ModelArgument,
    out: Annotated[Path, typer.Option("--out", help="The profile; an existing one is resumed.")],
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    repeats: Annotated[int, typer.Option(min=3, help="Samples of each segment.")] = 12,
) -> None:
    """Measure operators and groups of operators on every device."""
    found = _model(model, shape)
    with Runtime(load_platform(platform)) as runtime, ProfileFile(out, make_header(runtime, found)) as file:
        with OnScreen(_out).stage("profile") as report:
            profile_covers(runtime, found, file, effort=Effort(repeats=repeats), progress=report)
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
    _out.print(table)
    _say(
        f"{measured.num_segments} segments, {measured.num_samples} samples in {out}; above, the slowest of each device."
    )
    for device in measured.header.engines:
        for ops, reason in measured.unsupported(device).items():
            _say(f"{device} refuses {ops[0]} ({len(ops)} operators): {reason}")


@app.command()
def plan(
    model: ModelArgument,
    profile: ProfileOption,
    out: Annotated[Path, typer.Option("--out", help="Where the plan goes.")],
    scheduler: Annotated[str, typer.Option("--scheduler", help="Who plans.")] = "search",
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    seed: SeedOption = 0,
    max_evaluations: Annotated[
        int | None, typer.Option(metavar="N", help="Candidates that the scheduler may evaluate; absent: its own limit.")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="When to be content with the best so far, as on Ctrl-C.")
    ] = None,
) -> None:
    """Plan a model from a profile; nothing is measured."""
    found, where = _model(model, shape), load_platform(platform)
    problem = make_problem(found, where, _profile_of(found, profile))
    solution = solve_on_screen(
        scheduler, problem, OnScreen(_out), seed=seed, max_evaluations=max_evaluations, time_limit_s=time_limit
    )
    made = solution.plan
    save_plan(made, out)
    timeline = simulate_plan(problem, made)
    _say(f"{scheduler}: {timeline.makespan_s * 1e3:.2f} ms simulated, {made.num_segments} segments, in {out}")
    _say(f"  bound {solution.bound_s * 1e3:.2f} ms, gap {solution.gap:.2%}: {solution.verdict}")
    _say(f"  planned in {solution.planning_s:.2f} s, {solution.num_evaluations} evaluations")
    for assignment in who_runs_what(found.graph, made, timeline, where):
        _say(f"  {assignment}")


@app.command()
def simulate(
    model: ModelArgument,
    plan: PlanOption,
    profile: ProfileOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    json: Annotated[bool, typer.Option("--json", help="Print the timeline as JSON.")] = False,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
) -> None:
    """Simulate a plan; nothing is executed."""
    found, where = _model(model, shape), load_platform(platform)
    read = load_plan(plan).in_order(found.graph)
    timeline = _simulated(found, where, read, profile)
    if trace is not None:
        save_trace(timeline, trace, platform=where, graph_name=found.graph.name, label="simulated")
    if json:
        typer.echo(_as_json(timeline))
        return
    _say(f"{timeline.makespan_s * 1e3:.2f} ms simulated, {read.num_segments} segments")
    for assignment in who_runs_what(found.graph, read, timeline, where):
        _say(f"  {assignment}")


@app.command()
def run(
    model: ModelArgument,
    plan: PlanOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    seed: SeedOption = 0,
    requests: Annotated[int, typer.Option(min=1, help="Inferences to run, one after the other.")] = 20,
    inputs: Annotated[Path | None, typer.Option("--inputs", help="An .npz file with the model's inputs.")] = None,
    outputs: Annotated[Path | None, typer.Option("--outputs", help="Where to put the outputs, as .npz.")] = None,
    trace: Annotated[Path | None, typer.Option("--trace", help="Write a trace that opens in Perfetto.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the typical run's timeline.")] = None,
) -> None:
    """Execute a plan on the devices."""
    found, where = _model(model, shape), load_platform(platform)
    read = load_plan(plan).in_order(found.graph)
    given = random_inputs(found, seed=seed) if inputs is None else _read_inputs(inputs)
    with Runtime(where) as runtime, runtime.load(found, read) as session:
        session.run(given)
        done = [session.run(given) for _ in range(requests)]
    latency = summarize([one.latency_s for one in done])
    typical = sorted(done, key=lambda one: one.latency_s)[len(done) // 2]
    if outputs is not None:
        content = BytesIO()
        np.savez(content, allow_pickle=False, **typical.outputs)
        write_atomically(outputs, content.getvalue())
    if trace is not None:
        save_trace(typical.timeline, trace, platform=where, graph_name=found.graph.name, label="measured")
    if picture is not None:
        draw_timelines(None, typical.timeline, picture, platform=where, title=found.graph.name)
    _say(
        f"{latency.median_s * 1e3:.2f} ms median of {latency.num_samples} "
        f"(95 % interval {latency.low_s * 1e3:.2f} - {latency.high_s * 1e3:.2f})"
    )
    for assignment in who_runs_what(found.graph, read, typical.timeline, where):
        _say(f"  {assignment}")


@app.command()
def compare(
    model: ModelArgument,
    plan: PlanOption,
    profile: ProfileOption,
    platform: PlatformOption = DEFAULT_PLATFORM,
    shape: ShapeOption = [],  # noqa: B006
    requests: Annotated[int, typer.Option(min=1, help="Inferences to run; the typical one is compared.")] = 20,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw where the difference comes from.")] = None,
) -> None:
    """Simulate a plan, execute it, and say where the difference comes from."""
    found, where = _model(model, shape), load_platform(platform)
    read = load_plan(plan).in_order(found.graph)
    simulated = _simulated(found, where, read, profile)
    given = random_inputs(found)
    with Runtime(where) as runtime, runtime.load(found, read) as session:
        session.run(given)
        typical = typical_run([session.run(given) for _ in range(requests)])
    comparison = compare_timelines(found.graph, read, simulated, typical.timeline, where)
    if picture is not None:
        draw_comparison(comparison, picture, platform=where, title=f"{found.graph.name}: simulated against measured")
    _print_comparison(comparison, where)


@app.command()
def zoo() -> None:
    """List the models that come by name."""
    for name in zoo_names():
        _say(name)


@platform_app.callback(invoke_without_command=True)
def platform(context: typer.Context) -> None:
    """List the engines and devices that are really here, and the platforms that they allow."""
    if context.invoked_subcommand is not None:
        return
    _say(f"{machine_fingerprint()}; this process may use cores {', '.join(map(str, available_cores()))}")
    for engine, targets in available_engines().items():
        _say(f"engine {engine}: {targets}")
    for name in builtin_platforms():
        described = load_platform(name)
        _say(f"platform {name}: {described.description}")
        for device in described.devices:
            try:
                words = f"{make_backend(device).describe()}, cores {', '.join(map(str, device.cores)) or 'any'}"
            except HetsimError as error:
                words = f"NOT AVAILABLE: {error}"
            _say(f"  {device.label}: {words}")


@platform_app.command()
def calibrate(
    out: Annotated[Path, typer.Option("--out", help="The calibrated platform file.")],
    name: Annotated[str, typer.Argument(metavar="[NAME|FILE]", help="The platform.")] = DEFAULT_PLATFORM,
) -> None:
    """Measure hand-overs, launches and memory, and write a platform file that holds them."""
    with Runtime(load_platform(name)) as runtime, OnScreen(_out).stage("calibrate") as report:
        found = calibrate_platform(runtime, progress=report)
    write_atomically(out, format_platform(found).encode())
    for device in found.devices:
        alone = found.memory.alone_bytes_per_s[device.name] / 1e9
        _say(f"{device.label}: launch {device.launch_s * 1e6:.1f} us, memory alone {alone:.1f} GB/s")
    for (source, target), link in found.links.items():
        _say(
            f"{source}->{target}: hand-over {link.setup_s * 1e6:.2f} us, reading what the other wrote "
            f"{link.bandwidth_bytes_per_s / 1e9:.1f} GB/s"
        )
    _say(f"memory shared by all: {found.memory.shared_bytes_per_s / 1e9:.1f} GB/s; written to {out}")


def _model(name: str, shapes: list[str]) -> Model:
    return load_model(name, shapes=dict(map(_shape, shapes)))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, equals, sizes = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return name, tuple(int(size) for size in sizes.split(","))
    except ValueError:
        raise ModelError(f"--shape {text!r} must look like NAME=1,3,224,224") from None


def _read_inputs(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read inputs from {path}: {error}; give an .npz file with one array for each input"
        ) from None


def _profile_of(model: Model, path: Path) -> Profile:
    """The profile in a file, which must have been taken of this model."""
    measured = load_profile(path)
    if model.hash != measured.header.model_hash:
        raise PlanError(
            f"profile {path} was taken of another model (hash {measured.header.model_hash[:12]}); {model.graph.name!r} "
            f"has hash {model.hash[:12]}; measure it with: hetsim profile"
        )
    return measured


def _simulated(model: Model, platform: Platform, plan: Plan, profile: Path) -> Timeline:
    """The plan by the model, from its own replays where the profile has them; checks the plan as well."""
    return simulate_plan(plan_problem(model, platform, _profile_of(model, profile), plan), plan)


def _print_comparison(comparison: Comparison, platform: Platform) -> None:
    parts = Table("part", "ms", box=None)
    parts.columns[1].justify = "right"
    parts.add_row("simulated", f"{comparison.simulated_s * 1e3:.3f}")
    for part, part_s in comparison.parts_s.items():
        parts.add_row(f"  {part}", f"{part_s * 1e3:+.3f}")
    parts.add_row("measured", f"{comparison.measured_s * 1e3:.3f}")
    _out.print(parts)
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
    _say("The spans that contribute most:")
    _out.print(spans)


def _as_json(timeline: Timeline) -> str:
    spans = [
        {"device": s.device, "ops": s.ops, "kind": s.kind, "start_s": s.start_s, "end_s": s.end_s}
        for s in timeline.spans
    ]
    return msgspec.json.encode({"makespan_s": timeline.makespan_s, "spans": spans}).decode()


def _say(words: str) -> None:
    _out.print(words, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command="hetsim")
