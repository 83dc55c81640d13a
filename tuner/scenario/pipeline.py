"""From a scenario to what becomes of it: profile each model, choose by simulation, execute, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from hetsim.core.errors import DeviceError
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.core.serving.outcome import Outcome
from hetsim.core.serving.service import Service
from hetsim.costs.noise import measured_noise
from hetsim.costs.problems import plan_problem
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.files import write_atomically
from hetsim.io.folder_lock import lock_folder
from hetsim.io.plan_file import load_plan
from hetsim.io.serving.deployment_file import save_deployment
from hetsim.io.serving.scenario_file import ModelRequests, ServingScenario
from hetsim.io.serving.service_trace import save_service_trace
from hetsim.models.model import Model
from hetsim.runtime import Inference, Runtime
from hetsim.runtime.measure.profiler import make_header, record, warm_up
from hetsim.runtime.serving.service import ServiceSession
from hetsim.scheduler.registry import make_plan
from hetsim.sim.service.simulate import ServiceSimulator
from hetsim.tuner.context import open_context
from hetsim.tuner.options import Options
from hetsim.tuner.progress import Stages
from hetsim.tuner.scenario.outcome import Execution, ScenarioOutcome, summary
from hetsim.tuner.scenario.planning import Choice, PlannedModel, Planner, check_load, plan_model, workloads
from hetsim.tuner.serving.simulated import duration_rows
from hetsim.tuner.steps.expected_outputs import ExpectedOutputs, find_expected_outputs, tolerance
from hetsim.tuner.steps.profiling import calibrate_platform, profile_model
from hetsim.tuner.steps.readiness import check_machine
from hetsim.tuner.target import Target

OURS, WHOLE = "ours", "whole models"
_SCHEDULERS = ("search", "splits")
_SERIAL_RUNS = 6  # of each plan, half before its requests and half after


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A model, profiled.

    Attributes:
        model: The model.
        expected: Its inputs and outputs.
        planned: What it may be served by.
        folder: Where its profile and its deployment are.
    """

    model: Model
    expected: ExpectedOutputs
    planned: PlannedModel
    folder: Path


def run_scenario(
    scenario: ServingScenario,
    models: Mapping[str, Model],
    platform: Platform,
    out: Path,
    *,
    options: Options,
    stages: Stages,
) -> ScenarioOutcome:
    """Serve a scenario's requests, after the choice of deployments and policy by simulation.

    The folder gets a folder for each model with ``profile.jsonl``, ``deployment.json`` and its plans, and
    ``platform.toml``, ``summary.json``, ``simulated.trace.json`` and ``measured.trace.json``.

    Args:
        scenario: The scenario.
        models: By name of a model of the scenario, the model.
        platform: The devices; all real.
        out: The folder; it is created if it does not exist.
        options: How thorough profiles are.
        stages: Where progress is shown.

    Raises:
        HetsimError: If a model or the platform cannot do what is asked, the scenario cannot be met, or another process
            is writing to the folder.
        OSError: If the folder cannot be written.
    """
    warnings = check_machine(platform, stages)
    with Runtime(platform) as runtime:
        lock = lock_folder(out)
        platform = calibrate_platform(runtime, platform, out / "platform.toml", stages, recalibrate=options.recalibrate)
    prepared = [
        prepare_model(one, models[one.name], platform, out / one.name, options=options, stages=stages)
        for one in scenario.models
    ]
    factor = check_load([one.planned for one in prepared])
    with stages.stage("choose deployments and policy"):
        planner = Planner(scenario, [one.planned for one in prepared], seed=options.seed)
        choices = {OURS: planner.best(), WHOLE: planner.best(whole_models_only=True)}
    executions = {
        name: execute_choice(scenario, prepared, choice, platform, options=options, stages=stages, name=name)
        for name, choice in choices.items()
    }
    outcome = ScenarioOutcome(
        platform=platform.name,
        executions=executions,
        highest_factor=factor,
        seed=options.seed,
        command=options.command,
        warnings=warnings,
    )
    _write(outcome, prepared, platform, out)
    del lock
    return outcome


def prepare_model(
    requests: ModelRequests, model: Model, platform: Platform, folder: Path, *, options: Options, stages: Stages
) -> Prepared:
    """A model of a scenario, profiled and planned.

    Args:
        requests: Its requests.
        model: The model.
        platform: The devices, calibrated.
        folder: Gets its profile, or has it.
        options: How thorough the profile is.
        stages: Where progress is shown.

    Raises:
        HetsimError: If the model cannot run on the devices, or its deadline is below the fastest plan.
    """
    expected = find_expected_outputs(model, seed=options.seed)
    target = Target(model=model, platform=platform)
    path = requests.profile or folder / target.serial_runs_file
    folder.mkdir(parents=True, exist_ok=True)
    with open_context(target, path, expected=expected, options=options, stages=stages) as context:
        profile_model(context, f"profile {requests.name}")
        problem = context.problem()
        if requests.plans:
            plans = [load_plan(path) for path in requests.plans]
        else:
            plans = [make_plan(name, problem, seed=options.seed) for name in _SCHEDULERS]
        plans = [plan for plan in plans if context.refusal(plan) is None]
    planned = plan_model(requests, problem, plans)
    return Prepared(model=model, expected=expected, planned=planned, folder=folder)


def execute_choice(
    scenario: ServingScenario,
    prepared: Sequence[Prepared],
    choice: Choice,
    platform: Platform,
    *,
    options: Options,
    stages: Stages,
    name: str,
    faster: float = 1.0,
) -> Execution:
    """A choice, executed between serial runs of its plans, and simulated from these.

    Raises:
        DeviceError: If a device failed, or a plan's outputs are wrong.
    """
    service = Service(
        workloads=workloads(scenario, choice.deployments, seed=options.seed, faster=faster), policy=choice.policy
    )
    named = {one.planned.requests.name: one for one in prepared}
    with ExitStack() as stack, stages.stage(f"serve requests, {name}"):
        runtime = stack.enter_context(Runtime(platform))
        files = {
            key: stack.enter_context(
                ProfileFile(
                    one.planned.requests.profile or one.folder / "profile.jsonl", make_header(runtime, one.model)
                )
            )
            for key, one in named.items()
        }
        loaded = stack.enter_context(runtime.load_service(service, {key: one.model for key, one in named.items()}))
        owners = [workload.name for workload in service.workloads for _ in workload.deployment.instances]
        _check_outputs(loaded, [named[owner] for owner in owners], platform)
        runs = _serial_runs(loaded, [named[owner] for owner in owners])
        inputs = {key: one.expected.inputs for key, one in named.items()}
        times = ServiceSimulator(service, {key: one.planned.problem for key, one in named.items()}).streams
        measured = loaded.serve(service, inputs, times=times, with_runs=True)
        for own, more in zip(runs, _serial_runs(loaded, [named[owner] for owner in owners]), strict=True):
            own += more
        plans = [one.plan for workload in service.workloads for one in workload.deployment.instances]
        for plan, owner, own in zip(plans, owners, runs, strict=True):
            record(files[owner], own, f"final:{plan.digest}", splits=plan.rewrites)
        profiles = {key: file.profile for key, file in files.items()}
    simulated = _simulate(service, named, profiles, platform, seed=options.seed)
    return Execution(choice=choice, measured=measured, simulated=simulated)


def _serial_runs(loaded: ServiceSession, owners: Sequence[Prepared]) -> list[list[Inference]]:
    found = []
    for session, one in zip(loaded.sessions, owners, strict=True):
        warm_up(session, one.expected.inputs)
        found.append([session.run(one.expected.inputs, serial=True) for _ in range(_SERIAL_RUNS // 2)])
    return found


def _check_outputs(loaded: ServiceSession, owners: Sequence[Prepared], platform: Platform) -> None:
    for session, one in zip(loaded.sessions, owners, strict=True):
        error = one.expected.error(session.run(one.expected.inputs).outputs)
        allowed = tolerance(platform, sensitivity=one.expected.sensitivity if error > tolerance(platform) else 0.0)
        if not error <= allowed:
            raise DeviceError(
                f"a plan of {one.model.name!r} gives outputs that differ from the expected ones by {error:.1e} of the "
                f"largest value ({allowed:.1e} allowed); find the operator with: hetsim verify",
                device=session.device_names[0],
            )


def _simulate(
    service: Service, named: Mapping[str, Prepared], profiles: Mapping[str, Profile], platform: Platform, *, seed: int
) -> Outcome:
    """The service by the serial runs of its plans, with their noise."""
    plans = [(one.name, instance.plan) for one in service.workloads for instance in one.deployment.instances]
    problems: dict[str, list[Problem]] = {}
    for name, plan in plans:
        problems.setdefault(name, []).append(plan_problem(named[name].model, platform, profiles[name], plan))
    simulator = ServiceSimulator(service, problems)
    costs = [problem for own in problems.values() for problem in own]
    durations: list[NDArray[np.float64] | None] = []
    for (name, plan), problem, stream in zip(plans, costs, simulator.streams, strict=True):
        noise = measured_noise(problem, profiles[name], plan, seed=seed)
        durations.append(duration_rows(plan, noise, platform.device_names, stream))
    return simulator.run(durations, with_runs=True)


def _write(outcome: ScenarioOutcome, prepared: Sequence[Prepared], platform: Platform, out: Path) -> None:
    ours = outcome.executions[OURS]
    for one, deployment in zip(prepared, ours.choice.deployments, strict=True):
        save_deployment(deployment, one.folder / "deployment.json", every_s=one.planned.requests.every_s)
    labels = [device.label for device in platform.devices]
    save_service_trace(ours.simulated, out / "simulated.trace.json", device_labels=labels)
    save_service_trace(ours.measured, out / "measured.trace.json", device_labels=labels)
    write_atomically(out / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n")
