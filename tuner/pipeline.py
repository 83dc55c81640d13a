"""From a model and a platform to the plan that measured best: calibrate, profile, propose, measure, judge, write.

Each step is a function of the :class:`~hetsim.tuner.context.TuningContext`. On a platform of real devices, the plans of
all schedulers and of the closed loop are proposed. With a scenario, or with devices whose times come from elsewhere,
the devices as they are are calibrated and profiled first; plans are then proposed for the changed machine, where
nothing needs to be measured between searches, since the costs of emulated devices are known, and executed with the
changed devices emulated.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from hetsim.analysis.scenario import Scenario
from hetsim.core.platform import Platform
from hetsim.costs.profile_file import ProfileFile
from hetsim.io.folder_lock import FolderLock, lock_folder
from hetsim.models.model import Model
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.runtime import Runtime
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.measure.profiler import make_header
from hetsim.tuner.context import TuningContext, open_context
from hetsim.tuner.deadline import Deadline, stop_on_interrupt
from hetsim.tuner.options import Options
from hetsim.tuner.progress import Silent, Stages
from hetsim.tuner.report.outcome import Outcome
from hetsim.tuner.steps.closed_loop import propose_by_rounds
from hetsim.tuner.steps.expected_outputs import find_expected_outputs
from hetsim.tuner.steps.final_measurement import measure_finalists
from hetsim.tuner.steps.judging import judge
from hetsim.tuner.steps.profiling import ask_paced, calibrate_platform, profile_model
from hetsim.tuner.steps.proposals import Proposals, Proposer, propose
from hetsim.tuner.steps.readiness import check_machine, paced_engines, say_emulated
from hetsim.tuner.steps.reference_engines import engines_alone
from hetsim.tuner.steps.scheduler_plans import propose_baselines, propose_searched
from hetsim.tuner.steps.writing import write_outputs
from hetsim.tuner.target import Target, check_executable, make_target

_REAL = Scenario()


def tune(
    model: Model,
    platform: Platform,
    out: Path,
    *,
    scenario: Scenario = _REAL,
    inputs: Mapping[str, Array] | None = None,
    trust: Trust = TRUSTING,
    options: Options | None = None,
    stages: Stages | None = None,
) -> Outcome:
    """Find the plan that measures best, and write all that led to it into a folder.

    The folder gets ``plan.json`` (the winner), ``plans/NAME.json`` (each scheduler's), ``profile.jsonl``,
    ``platform.toml`` (with calibrated values), ``summary.json``, ``timeline.png``, ``plans.png``,
    ``simulated.trace.json``, ``measured.trace.json`` and ``report.html``. With a scenario, ``profile.jsonl`` and
    ``platform.toml`` are about the devices as they are, and ``emulated.jsonl`` holds the serial runs beside emulated
    devices. An interrupted run leaves the profile; the same call then resumes from it.

    Ctrl-C during the closed loop ends the search alone: what has been found by then goes on to
    the final measurement. A second Ctrl-C, or one at any other time, raises KeyboardInterrupt as usual.

    Args:
        model: The model.
        platform: The devices as they are.
        out: The folder; it is created if it does not exist.
        scenario: Changes to the machine; the changed devices are emulated.
        inputs: The inputs of all executions by tensor; None stands for random ones.
        trust: What is assumed of inputs and accepted of devices.
        options: How thorough the run is.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, a change cannot be executed, or
            another process is writing to the folder.
        OSError: If the folder cannot be written.
    """
    options, stages = options or Options(), stages or Silent()
    started_s = time.monotonic()
    scenario.platform(platform)  # mistakes in a scenario are reported before anything is measured
    check_executable(scenario)
    warnings = (*check_machine(platform, stages), *say_emulated(platform, stages))
    with ExitStack() as devices:
        context, platform, lock = start(
            devices, model, platform, out, inputs=inputs, trust=trust, options=options, stages=stages
        )
        warnings += profile_model(context)
        ask_paced(model, platform, context.file, stages)
        if scenario or platform.hypothetical_devices:
            context = _emulate(context, platform, scenario, out, devices)
        proposals = propose_within_limits(context, proposers_for(context), started_s=started_s)
        finalists = measure_finalists(context, proposals.plans, is_race=True)
    platform = context.platform
    emulated = context.target.is_emulated
    alone = {}
    if not emulated:
        alone = engines_alone(platform, model, context.expected.inputs, trust=trust, pace=options.pace, stages=stages)
    outcome = judge(
        model,
        platform,
        finalists,
        proposals,
        expected=context.expected,
        alone=alone,
        options=options,
        warnings=warnings,
    )
    write_outputs(out, model, platform, finalists, outcome)
    del lock
    return outcome


def start(
    devices: ExitStack,
    model: Model,
    platform: Platform,
    out: Path,
    *,
    inputs: Mapping[str, Array] | None = None,
    trust: Trust,
    options: Options,
    stages: Stages,
) -> tuple[TuningContext, Platform, FolderLock]:
    """The devices as they are, running and calibrated, with the profile that is in the folder so far.

    Args:
        devices: Holds the running devices and the profile.
        model: The model.
        platform: The devices; hypothetical ones among them are not started.
        out: The folder; it is created if it does not exist.
        inputs: The inputs of all executions by tensor; None stands for random ones.
        trust: What is assumed of inputs and accepted of devices.
        options: How thorough the run is.
        stages: Where progress is shown.

    Returns:
        The context, the whole platform with calibrated values, and the folder's lock, which holds while it is referred
        to.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, or another process is writing to
            the folder.
        OSError: If the folder cannot be written.
    """
    runtime = devices.enter_context(Runtime(_measured_part(platform), trust=trust))
    lock = lock_folder(out)
    with stages.stage("compute the expected outputs"):
        expected = find_expected_outputs(model, seed=options.seed, inputs=inputs, trust=trust)
    platform = calibrate_platform(runtime, platform, out / "platform.toml", stages, recalibrate=options.recalibrate)
    target = Target(model=model, platform=_measured_part(platform))
    header = make_header(runtime, model, paced_engines(platform))
    file = devices.enter_context(ProfileFile(out / target.serial_runs_file, header))
    context = TuningContext(
        runtime=runtime, target=target, file=file, expected=expected, options=options, stages=stages
    )
    return context, platform, lock


def _measured_part(platform: Platform) -> Platform:
    return platform.measured_part() if platform.hypothetical_devices else platform


def _emulate(
    context: TuningContext, platform: Platform, scenario: Scenario, out: Path, devices: ExitStack
) -> TuningContext:
    """The context on the changed machine, after the devices as they are have been measured in ``context``.

    Args:
        context: The devices as they are, profiled.
        platform: All devices, also those that cannot be measured.
        scenario: The changes.
        out: The folder.
        devices: Holds the running devices; those as they are are closed, since emulated ones may use the same cores.
    """
    expected = context.expected
    target = make_target(context.model, platform, scenario, profile=context.file.profile, inputs=expected.inputs)
    devices.close()
    path = out / target.serial_runs_file
    path.unlink(missing_ok=True)  # serial runs belong to the executions of the same run
    return devices.enter_context(
        open_context(
            target,
            path,
            expected=expected,
            trust=context.runtime.trust,
            options=context.options,
            stages=context.stages,
        )
    )


def proposers_for(context: TuningContext) -> tuple[Proposer, ...]:
    """The proposers of a run: on emulated devices there is nothing to learn between searches."""
    if context.target.is_emulated:
        return (propose_baselines, propose_searched)
    return (propose_baselines, propose_by_rounds)


def propose_within_limits(
    context: TuningContext, proposers: Sequence[Proposer], *, started_s: float | None = None
) -> Proposals:
    """The plans to execute; the time limit and Ctrl-C end the searches with what has been found by then.

    Args:
        context: The devices, profiled.
        proposers: Who proposes, in this order.
        started_s: When the time limit began, by :func:`time.monotonic`; None stands for now.

    Raises:
        ProblemError: If an operator runs on no device.
        DeviceError: If a device failed.
    """
    until_s = math.inf
    if context.options.time_limit_s is not None:
        until_s = (time.monotonic() if started_s is None else started_s) + context.options.time_limit_s
    with stop_on_interrupt() as interrupted:
        return propose(context, proposers, Deadline(until_s=until_s, interrupted=interrupted))
