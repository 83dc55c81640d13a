"""From a model and a platform to the plan that measured best: profile, plan, measure what was guessed, execute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec

from hetsim.breakdown import breakdown, who_runs_what
from hetsim.files import write_atomically
from hetsim.machine.fingerprint import machine_fingerprint
from hetsim.machine.platform import Platform, format_platform
from hetsim.model import Model, random_inputs
from hetsim.model.reference import evaluate
from hetsim.pictures import Baseline, Comparison, PlanRow, draw_plans, draw_timelines
from hetsim.plan import Plan, save_plan
from hetsim.profile import ProfileFile, context_problem, make_problem
from hetsim.simulate import makespan_s, simulate
from hetsim.timeline import Timeline
from hetsim.trace import save_trace
from runtime import Runtime
from runtime.calibrate import calibrate
from runtime.profiler import Effort, make_header, profile_covers, replay
from scheduler.registry import make_plan, scheduler_names
from tuner.finals import Execution, Pace, engines_alone_s, execute, tolerance
from tuner.progress import Report, Silent, Stages
from tuner.report import Outcome, PlanOutcome, summary, write_html

VERSIONS_OF = ("hetsim", "onnx", "onnxruntime", "openvino", "numpy", "simpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How thorough a tune run is.

    Attributes:
        seed: Everything random comes from it: inputs and search.
        rounds: How often the search may be told what its last plan's segments really take.
        max_evaluations: Candidates that each search may simulate.
        effort: How often segments are measured.
        pace: How often plans are executed.
        command: The command line that does the same again, for the report.
    """

    seed: int = 0
    rounds: int = 4
    max_evaluations: int = 3000
    effort: Effort = field(default_factory=Effort)
    pace: Pace = field(default_factory=Pace)
    command: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Finalist:
    """A plan that was executed, under the names of all schedulers that made it."""

    names: list[str]
    plan: Plan
    simulated: Timeline


def tune(
    model: Model, platform: Platform, out: Path, *, options: Options | None = None, stages: Stages | None = None
) -> Outcome:
    """Find the plan that measures best, and leave all that led to it in a folder.

    The folder gets ``plan.json`` (the winner), ``plans/NAME.json`` (everyone's), ``profile.jsonl``, ``platform.toml``
    (as calibrated), ``summary.json``, ``timeline.png``, ``plans.png``, ``simulated.trace.json``,
    ``measured.trace.json`` and ``report.html``. Interrupted, it keeps the profile; the same call then goes on from
    there.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked.
        OSError: If the folder cannot be written.
    """
    options = options or Options()
    stages = stages or Silent()
    out.mkdir(parents=True, exist_ok=True)
    inputs = random_inputs(model, seed=options.seed)
    with stages.stage("reference") as report:
        report(0.0, "the right answer, from the reference engine")
        expected = evaluate(model.proto, inputs)
    with Runtime(platform) as runtime:
        if platform.calibration is None:
            with stages.stage("calibrate") as report:
                platform = calibrate(runtime, progress=report)
        write_atomically(out / "platform.toml", format_platform(platform).encode())
        with ProfileFile(out / "profile.jsonl", make_header(runtime, model)) as file:
            with stages.stage("profile") as report:
                profile_covers(runtime, model, file, effort=options.effort, progress=report)
            stages.say(f"profiled {file.profile.num_segments} segments, {file.profile.num_samples} samples")
            plans = _plan(runtime, model, platform, file, options, stages)
            finalists = _replay_all(runtime, model, platform, file, plans, options, stages)
        with stages.stage("execute") as report:
            executions = execute(
                runtime, model, [f.plan for f in finalists], inputs, expected, pace=options.pace, report=report
            )
    with stages.stage("references") as report:
        alone_s = engines_alone_s(platform, model, inputs, pace=options.pace, report=report)
    outcome = _judge(model, platform, plans, finalists, executions, alone_s, options)
    _leave(out, model, platform, plans, finalists, executions, outcome)
    return outcome


def _plan(
    runtime: Runtime, model: Model, platform: Platform, file: ProfileFile, options: Options, stages: Stages
) -> dict[str, Plan]:
    """Every scheduler's plan, by its name; ``search`` is asked again once its plan's segments are measured."""
    with stages.stage("plan") as report:
        problem = make_problem(model, platform, file.profile)
        names = scheduler_names(problem)
        plans = {name: make_plan(name, problem) for name in names if name != "search"}
        for number in range(options.rounds):
            problem = make_problem(model, platform, file.profile)
            plan = make_plan(
                "search",
                problem,
                seed=options.seed,
                max_evaluations=options.max_evaluations,
                progress=_part(report, number, options.rounds, f"search, round {number + 1}"),
            )
            predicted_s = makespan_s(problem, plan)
            known = [other for name, other in plans.items() if name.startswith("search") and other.same_work(plan)]
            context = replay(runtime, model, plan, file, effort=options.effort)
            simulated_s = makespan_s(context_problem(model, platform, file.profile, context), plan)
            stages.say(
                f"search, round {number + 1}: predicted {predicted_s * 1e3:.2f} ms, "
                f"{simulated_s * 1e3:.2f} ms once its {plan.num_segments} segments were measured"
            )
            if known:
                break
            plans[f"search round {number + 1}"] = plan
        rounds = [name for name in plans if name.startswith("search round")]
        times_s = {
            name: makespan_s(
                context_problem(
                    model, platform, file.profile, replay(runtime, model, plans[name], file, effort=options.effort)
                ),
                plans[name],
            )
            for name in rounds
        }
        plans["search"] = plans[min(rounds, key=times_s.__getitem__)]
        return {name: plans[name] for name in names}


def _part(report: Report, number: int, count: int, words: str) -> Callable[[int, int, float], None]:
    return lambda done, of, _best_s: report((number + done / max(of, 1)) / count, words)


def _replay_all(
    runtime: Runtime,
    model: Model,
    platform: Platform,
    file: ProfileFile,
    plans: Mapping[str, Plan],
    options: Options,
    stages: Stages,
) -> list[_Finalist]:
    """Time each distinct plan's segments in a serial replay, and simulate it with just those times."""
    finalists: list[_Finalist] = []
    with stages.stage("replay") as report:
        for number, (name, plan) in enumerate(plans.items()):
            report(number / len(plans), name)
            same = next((finalist for finalist in finalists if finalist.plan.same_work(plan)), None)
            if same is not None:
                same.names.append(name)
                continue
            context = replay(runtime, model, plan, file, effort=options.effort)
            problem = context_problem(model, platform, file.profile, context)
            finalists.append(_Finalist(names=[name], plan=plan, simulated=simulate(problem, plan)))
    return finalists


def _judge(
    model: Model,
    platform: Platform,
    plans: Mapping[str, Plan],
    finalists: Sequence[_Finalist],
    executions: Sequence[Execution],
    alone_s: Mapping[str, float],
    options: Options,
) -> Outcome:
    """Put simulated beside measured for every scheduler and name the winner: the best measured, the simpler of ties."""
    rows: dict[str, PlanOutcome] = {}
    for finalist, execution in zip(finalists, executions, strict=True):
        for name in finalist.names:
            rows[name] = PlanOutcome(
                name=name,
                simulated_s=finalist.simulated.makespan_s,
                measured_s=execution.latency.median_s,
                measured_iqr_s=execution.latency.iqr_s,
                measured_low_s=execution.latency.low_s,
                measured_high_s=execution.latency.high_s,
                num_segments=finalist.plan.num_segments,
                num_devices=len(finalist.plan.queues),
            )
    fastest = min(rows.values(), key=lambda row: row.measured_s)
    tied = [row for row in rows.values() if row.measured_low_s <= fastest.measured_high_s]
    winner = min(tied, key=lambda row: (row.num_devices, row.num_segments, row.measured_s))
    place = next(i for i, finalist in enumerate(finalists) if winner.name in finalist.names)
    typical, plan = executions[place].typical, finalists[place].plan
    largest_error = max(execution.largest_error for execution in executions)
    return Outcome(
        model=model.graph.name,
        platform=platform.name,
        plans=tuple(rows[name] for name in plans),
        best_single_device_s=min(row.measured_s for name, row in rows.items() if name.startswith("single:")),
        winner=winner.name,
        outputs_match=largest_error <= tolerance(platform),
        largest_error=largest_error,
        tolerance=tolerance(platform),
        assignments=who_runs_what(model.graph, plan, typical, platform),
        where=breakdown(typical, platform),
        reference_engines_s=dict(alone_s),
        num_samples=min(execution.latency.num_samples for execution in executions),
        seed=options.seed,
        machine=machine_fingerprint(),
        versions={name: version(name) for name in VERSIONS_OF},
        command=options.command,
    )


def _leave(
    out: Path,
    model: Model,
    platform: Platform,
    plans: Mapping[str, Plan],
    finalists: Sequence[_Finalist],
    executions: Sequence[Execution],
    outcome: Outcome,
) -> None:
    """Write the folder's files, the summary last: where it is, all is."""
    place = next(i for i, finalist in enumerate(finalists) if outcome.winner in finalist.names)
    simulated, measured = finalists[place].simulated, executions[place].typical
    for name, plan in plans.items():
        save_plan(plan, out / "plans" / f"{name.replace(':', '-')}.json")
    save_plan(plans[outcome.winner], out / "plan.json")
    title = f"{model.graph.name} on {platform.name}: {outcome.winner}"
    draw_timelines(simulated, measured, out / "timeline.png", platform=platform, title=title)
    rows = [
        PlanRow(
            scheduler=plan.name,
            simulated_s=plan.simulated_s,
            measured_s=plan.measured_s,
            low_s=plan.measured_low_s,
            high_s=plan.measured_high_s,
        )
        for plan in outcome.plans
    ]
    against = Comparison(
        best_single=Baseline(label="best single device", seconds=outcome.best_single_device_s),
        references=tuple(
            Baseline(label=f"{label}, alone on all cores", seconds=seconds)
            for label, seconds in outcome.reference_engines_s.items()
        ),
        interval="95 % confidence interval of the median",
    )
    draw_plans(rows, out / "plans.png", title=f"{model.graph.name} on {platform.name}", against=against)
    for timeline, name in ((simulated, "simulated"), (measured, "measured")):
        save_trace(timeline, out / f"{name}.trace.json", platform=platform, graph_name=model.graph.name, label=name)
    pictures = [
        ("Every plan: simulated beside measured", out / "plans.png"),
        (f"The plan of {outcome.winner}: simulated above measured", out / "timeline.png"),
    ]
    write_html(outcome, out / "report.html", pictures)
    write_atomically(out / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n")
