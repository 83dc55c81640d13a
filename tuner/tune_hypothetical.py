"""From a model and a changed machine to the plan that measured best, changed devices being emulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hetsim.analysis.scenario import Scenario
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.folder_lock import lock_folder
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.measure.profiler import make_header
from hetsim.scheduler.registry import make_plan
from hetsim.sim.simulate import simulate
from hetsim.tuner.progress import Silent, Stages
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.steps.final_measurement import Finalist, execute
from hetsim.tuner.steps.readiness import check_machine
from hetsim.tuner.steps.rounds import Found
from hetsim.tuner.steps.truth import find_truth
from hetsim.tuner.target import Target, check_executable, make_target
from hetsim.tuner.tune import Options, executed_names, judge, update_profile, with_calibration, write_outputs


def tune_hypothetical(
    model: Model,
    platform: Platform,
    out: Path,
    scenario: Scenario,
    *,
    options: Options | None = None,
    stages: Stages | None = None,
) -> Outcome:
    """Find the plan that measures best on a changed machine, and leave all that led to it in a folder.

    The devices as they are are measured first, and ``profile.jsonl`` and ``platform.toml`` are about them. What follows
    is hypothetical: planned on the changed machine and executed with the changed devices emulated; their serial replays
    are in ``emulated.jsonl``. Nothing is measured between searches, as what an emulated device takes is known.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, or a change cannot be executed.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    scenario.platform(platform)  # before any time is spent
    check_executable(scenario)
    warnings = check_machine(platform, stages)
    truth = find_truth(model, seed=options.seed)
    with Runtime(platform) as runtime:
        held = lock_folder(out)
        platform = with_calibration(runtime, platform, out, stages)
        with ProfileFile(out / "profile.jsonl", make_header(runtime, model)) as file:
            warnings += update_profile(runtime, model, file, options, stages)
            profile = file.profile
    machine = make_target(model, platform, scenario, profile=profile, inputs=truth.inputs)
    with stages.stage("plan") as report:
        plans: dict[str, Plan] = {}
        names = executed_names(machine.problem(profile), options.also)
        for number, name in enumerate(names):
            report(number / len(names), name)
            limit = options.max_evaluations if name == "search" else None
            plans[name] = make_plan(name, machine.problem(profile), seed=options.seed, max_evaluations=limit)
    (out / "emulated.jsonl").unlink(missing_ok=True)  # replays belong to the executions of the same run
    with (
        Runtime(machine.platform) as runtime,
        ProfileFile(out / "emulated.jsonl", make_header(runtime, model)) as file,
        stages.stage("execute") as report,
    ):
        plans = _accepted(runtime, model, machine, plans, stages)
        distinct = {plan.digest: plan for plan in plans.values()}
        executions = execute(
            runtime,
            model,
            list(distinct.values()),
            truth,
            file=file,
            pace=options.pace,
            report=report,
            emulation=machine.emulation,
        )
        replays = file.profile
    finalists = {
        digest: Finalist(plan=plan, simulated=simulate(machine.plan_problem(replays, plan), plan), execution=execution)
        for (digest, plan), execution in zip(distinct.items(), executions, strict=True)
    }
    by_name = {name: finalists[plan.digest] for name, plan in plans.items()}
    nothing = Found(plans={}, rounds=(), ended="")
    outcome = replace(judge(model, machine.platform, by_name, {}, nothing, options), warnings=warnings)
    write_outputs(out, model, machine.platform, by_name, outcome)
    del held
    return outcome


def _accepted(
    runtime: Runtime, model: Model, machine: Target, plans: dict[str, Plan], stages: Stages
) -> dict[str, Plan]:
    """The plans that the engines of the real devices accept; of the others it is said that they are dropped."""
    accepted: dict[str, Plan] = {}
    for name, plan in plans.items():
        try:
            runtime.load(model, plan, emulation=machine.emulation).close()
        except RefusedError as refusal:
            stages.say(f"{name}: dropped, {refusal}")
        else:
            accepted[name] = plan
    return accepted
