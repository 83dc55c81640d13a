"""From a model and an objective to the deployment that measured best: profile, propose, simulate, execute, choose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from hetsim.core.errors import PlatformError, ProblemError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.costs.noise import measured_noise
from hetsim.io.files import write_atomically
from hetsim.io.serving.deployment_file import save_deployment
from hetsim.models.model import Model
from hetsim.models.values.trust import TRUSTING, Trust
from hetsim.scheduler.registry import SINGLE
from hetsim.tuner.context import TuningContext
from hetsim.tuner.options import Options
from hetsim.tuner.pipeline import propose_within_limits, start
from hetsim.tuner.progress import Silent, Stages
from hetsim.tuner.serving.measured import Contender, ServingPace, measure_contenders
from hetsim.tuner.serving.objective import Objective
from hetsim.tuner.serving.outcome import ContenderOutcome, DeploymentOutcome, choose, summary
from hetsim.tuner.serving.plots import draw_deployments
from hetsim.tuner.serving.proposing import Proposed, propose_deployments
from hetsim.tuner.serving.simulated import DeploymentSimulator, Figures
from hetsim.tuner.serving.trials import best_tried
from hetsim.tuner.steps.closed_loop import propose_by_rounds
from hetsim.tuner.steps.expected_outputs import tolerance
from hetsim.tuner.steps.profiling import profile_model
from hetsim.tuner.steps.readiness import check_machine

_P99_LIMITS = (1.1, 1.5)
"""Where the 99th percentile counts, mixtures are searched for under these limits, relative to the fastest plan."""


def tune_deployment(
    model: Model,
    platform: Platform,
    out: Path,
    objective: Objective,
    *,
    trust: Trust = TRUSTING,
    options: Options | None = None,
    pace: ServingPace | None = None,
    stages: Stages | None = None,
) -> DeploymentOutcome:
    """Find the deployment that serves a model's requests best, and write it into a folder.

    The folder gets ``deployment.json`` with its plans beside it, ``profile.jsonl``, ``platform.toml``,
    ``deployments.png`` and ``summary.json``.

    Args:
        model: The model.
        platform: The devices; all real.
        out: The folder; it is created if it does not exist.
        objective: What counts.
        trust: What is assumed of inputs and accepted of devices.
        options: How thorough profile and searches are.
        pace: How much is executed.
        stages: Where progress is shown; None shows nothing.

    Raises:
        HetsimError: If the model, the platform or a device cannot do what is asked, no deployment keeps latencies small
            enough, or another process is writing to the folder.
        OSError: If the folder cannot be written.
    """
    options, stages, pace = options or Options(), stages or Silent(), pace or ServingPace()
    if platform.hypothetical_devices:
        name = platform.hypothetical_devices[0].name
        raise PlatformError(
            f"the times of device {name!r} are not measured, so no request can be served on it; give it an engine, or "
            "tune for latency"
        )
    warnings = check_machine(platform, stages)
    with ExitStack() as devices:
        context, _, lock = start(devices, model, platform, out, trust=trust, options=options, stages=stages)
        warnings += profile_model(context)
        plans = tuple(propose_within_limits(context, (propose_by_rounds,)).plans.values())
        proposed = propose_deployments(context, context.problem(), plans, _latency_limits(context, plans, objective))
        has_limit = objective.max_latency_s < math.inf and not objective.every_s
        best = best_tried(context, proposed, objective) if has_limit else proposed.best(objective)
        if best is None:
            raise ProblemError(
                f"no deployment keeps latencies below {objective.max_latency_s * 1e3:.3g} ms at any rate: one request "
                f"alone takes the fastest plan {proposed.fastest_s * 1e3:.3g} ms; give a larger --max-latency"
            )
        executed = execute(context, [*_at_rate(proposed, objective), best], pace)
    outcome = judge(context, proposed, executed, objective, warnings)
    winner = outcome.best
    save_deployment(winner.deployment, out / "deployment.json", every_s=winner.simulated.every_s)
    title = f"{model.name} on {platform.name}"
    draw_deployments(outcome.contenders, out / "deployments.png", title=title, bound_per_s=outcome.bound_per_s)
    write_atomically(out / "summary.json", msgspec.json.format(msgspec.json.encode(summary(outcome)), indent=2) + b"\n")
    del lock
    return outcome


def _latency_limits(context: TuningContext, plans: Sequence[Plan], objective: Objective) -> tuple[float, ...]:
    """The latencies to search for mixtures under, relative to that of the fastest plan."""
    if objective.max_latency_s < math.inf and plans:
        return (objective.max_latency_s / min(context.makespan_s(plan) for plan in plans),)
    return _P99_LIMITS if objective.goal == "p99" else ()


def _at_rate(proposed: Proposed, objective: Objective) -> list[Contender]:
    """Whole models at full load, or at the rate that the objective gives."""
    every_s = objective.every_s
    if not every_s:
        return list(proposed.whole_models)
    return [
        replace(one, expected=replace(one.expected, every_s=every_s, throughput_per_s=1 / every_s))
        for one in proposed.whole_models
    ]


def execute(context: TuningContext, contenders: Sequence[Contender], pace: ServingPace) -> list[ContenderOutcome]:
    """Contenders, measured, simulated from the serial runs of the same time, and compared with the expected outputs.

    Raises:
        DeviceError: If a device failed.
    """
    measured = measure_contenders(context, contenders, pace, purpose="serve requests")
    deployments = {one.deployment.key: one for one in contenders}
    errors = {key: _error(context, one) for key, one in deployments.items()}
    return [
        ContenderOutcome(
            name=one.name,
            deployment=one.deployment,
            simulated=simulate_contender(context, one, pace),
            measured=measured[one.name],
            error=errors[one.deployment.key],
        )
        for one in contenders
    ]


def simulate_contender(context: TuningContext, contender: Contender, pace: ServingPace) -> Figures:
    """A contender's figures from its plans' own serial runs, with their noise, in rounds of as many requests."""
    profile, seed = context.file.profile, context.options.seed
    simulator = DeploymentSimulator(
        contender.deployment,
        context.plan_problem,
        lambda plan: measured_noise(context.plan_problem(plan), profile, plan, seed=seed),
    )
    return simulator.at(contender.expected.every_s, pace.num_requests(contender.expected.throughput_per_s))


def _error(context: TuningContext, contender: Contender) -> float:
    """The largest error of one run of each of its plans."""
    errors = []
    for one in contender.deployment.instances:
        with context.load(one.plan) as session:
            errors.append(context.expected.error(session.run(context.expected.inputs).outputs))
    return max(errors)


def judge(
    context: TuningContext,
    proposed: Proposed,
    contenders: Sequence[ContenderOutcome],
    objective: Objective,
    warnings: Sequence[str] = (),
) -> DeploymentOutcome:
    """The recommended contender, those whose outputs are wrong set aside."""
    alone = [one.error for one in contenders if one.name.startswith(SINGLE)]
    allowed = tolerance(context.platform, alone)
    rejected = tuple(one.name for one in contenders if not one.error <= allowed)
    return DeploymentOutcome(
        model=context.model.name,
        platform=context.platform.name,
        objective=objective,
        contenders=tuple(contenders),
        winner=choose(contenders, objective, rejected),
        bound_per_s=proposed.mixture.bound_per_s,
        space=proposed.mixture.space,
        tolerance=allowed,
        rejected=rejected,
        num_candidates=len(proposed.simulators),
        seed=context.options.seed,
        command=context.options.command,
        warnings=tuple(warnings),
    )
