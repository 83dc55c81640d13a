"""Execute deployments in interleaved rounds, between serial runs of their plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from hetsim.core.serving.deployment import Deployment
from hetsim.core.serving.outcome import Outcome
from hetsim.runtime import Inference
from hetsim.runtime.measure.profiler import record, warm_up
from hetsim.runtime.serving.service import ServiceSession
from hetsim.tuner.context import TuningContext
from hetsim.tuner.serving.simulated import Figures, arrivals_of, pooled, service_of

_SERIAL_RUNS, _SERIAL_S = (2, 12), 0.1
"""The least and the most serial runs of each plan in each round, and the time in seconds after which there are no more
than the least. Percentiles come from them."""
_RESAMPLES = 1000  # for bootstrap intervals
_MIN_REQUESTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPace:
    """How much is executed.

    Attributes:
        num_rounds: Rounds, at least 2; in each, every deployment serves requests once.
        round_s: Time that a deployment serves requests for in each round, in seconds; at least 12 requests are served.
    """

    num_rounds: int = 8
    round_s: float = 0.5

    def num_requests(self, throughput_per_s: float) -> int:
        """Requests of a round."""
        return max(_MIN_REQUESTS, round(self.round_s * throughput_per_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A deployment under a load.

    Attributes:
        name: Unique in a run.
        deployment: The deployment.
        expected: What it should achieve; its ``every_s`` is the load.
    """

    name: str
    deployment: Deployment
    expected: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFigures:
    """What a contender achieved.

    Attributes:
        figures: Median throughput over rounds, and percentiles of the latencies of all rounds.
        low_per_s: Lower end of the 95 % bootstrap interval of the throughput, over rounds.
        high_per_s: Upper end of it.
        p99_low_s: Lower end of that of the 99th percentile.
        p99_high_s: Upper end of it.
        num_requests: Requests that were served.
    """

    figures: Figures
    low_per_s: float
    high_per_s: float
    p99_low_s: float
    p99_high_s: float
    num_requests: int


def measure_contenders(
    context: TuningContext, contenders: Sequence[Contender], pace: ServingPace, *, purpose: str
) -> dict[str, MeasuredFigures]:
    """By name, what contenders achieve; serial runs of their plans go into the context's file.

    Raises:
        RefusedError: If an engine does not take one of the segments.
        DeviceError: If a device failed.
    """
    inputs = context.expected.inputs
    outcomes: dict[str, list[Outcome]] = {one.name: [] for one in contenders}
    serial_runs: dict[str, list[Inference]] = {}
    with ExitStack() as loaded, context.stages.stage(purpose) as report:
        deployments = {one.deployment.key: one.deployment for one in contenders}
        sessions = {key: loaded.enter_context(load_deployment(context, each)) for key, each in deployments.items()}
        for number in range(pace.num_rounds):
            for place, one in enumerate(contenders):
                report((number + place / len(contenders)) / pace.num_rounds, one.name)
                session = sessions[one.deployment.key]
                _run_serially(session, one.deployment, inputs, serial_runs)
                outcomes[one.name].append(serve_round(session, one, pace, inputs))
    plans = [instance.plan for one in contenders for instance in one.deployment.instances]
    rewrites = {plan.digest: plan.rewrites for plan in plans}
    for digest, runs in serial_runs.items():
        record(context.file, runs, f"final:{digest}", splits=rewrites[digest])
    seed = context.options.seed
    return {name: summarise(own, _every_s(contenders, name), seed=seed) for name, own in outcomes.items()}


def load_deployment(context: TuningContext, deployment: Deployment) -> ServiceSession:
    """A deployment's plans, loaded to serve requests.

    Raises:
        RefusedError: If an engine does not take one of the segments.
        DeviceError: If a device failed.
    """
    service = service_of(deployment, arrivals_of(0.0, 1))
    emulation = context.target.emulation
    emulations = None if emulation is None else {deployment.model: emulation}
    return context.runtime.load_service(service, {deployment.model: context.model}, emulations=emulations)


def _run_serially(
    session: ServiceSession,
    deployment: Deployment,
    inputs: Mapping[str, np.ndarray],
    serial_runs: dict[str, list[Inference]],
) -> None:
    for one, instance in zip(session.sessions, deployment.instances, strict=True):
        latency_s = warm_up(one, inputs).latency_s
        count = max(_SERIAL_RUNS[0], min(_SERIAL_RUNS[1], round(_SERIAL_S / latency_s)))
        runs = serial_runs.setdefault(instance.plan.digest, [])
        runs += [one.run(inputs, serial=True) for _ in range(count)]


def serve_round(
    session: ServiceSession, contender: Contender, pace: ServingPace, inputs: Mapping[str, np.ndarray]
) -> Outcome:
    """A round of a contender's load.

    Raises:
        DeviceError: If a device failed.
    """
    deployment, expected = contender.deployment, contender.expected
    num_requests = pace.num_requests(expected.throughput_per_s)
    service = service_of(deployment, arrivals_of(expected.every_s, num_requests))
    return session.serve(service, {deployment.model: inputs})


def _every_s(contenders: Sequence[Contender], name: str) -> float:
    return next(one.expected.every_s for one in contenders if one.name == name)


def summarise(outcomes: Sequence[Outcome], every_s: float, *, seed: int) -> MeasuredFigures:
    """Figures of several rounds of one load, with bootstrap intervals over rounds.

    Args:
        outcomes: The rounds, each of one workload.
        every_s: The load.
        seed: For the intervals.
    """
    found = pooled(outcomes, every_s)
    generator = np.random.default_rng(seed)
    drawn = [
        pooled([outcomes[i] for i in generator.integers(len(outcomes), size=len(outcomes))], every_s)
        for _ in range(_RESAMPLES)
    ]
    low_per_s, high_per_s = np.percentile([one.throughput_per_s for one in drawn], [2.5, 97.5])
    p99_low_s, p99_high_s = np.percentile([one.p99_s for one in drawn], [2.5, 97.5])
    return MeasuredFigures(
        figures=found,
        low_per_s=float(low_per_s),
        high_per_s=float(high_per_s),
        p99_low_s=float(p99_low_s),
        p99_high_s=float(p99_high_s),
        num_requests=sum(len(one.workloads[0].latencies_s) for one in outcomes),
    )
