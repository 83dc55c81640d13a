"""The latency of each engine alone on all cores: what a plan that keeps several cores busy competes with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from hetsim.core.plan import whole_plan
from hetsim.core.platform import Device, Platform
from hetsim.core.statistics import Summary, summarize
from hetsim.models.model import Model
from hetsim.models.values.trust import Trust
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.backends.protocol import Array
from hetsim.runtime.measure.profiler import Effort, run_serially
from hetsim.tuner.options import Pace
from hetsim.tuner.progress import Stages

NUM_RUNS = 24
"""Executions of each engine; nothing is decided by them."""
_STALL_SHARE = 0.2
"""Of the time for which the final measurement may wait for undisturbed cores, what each engine may take."""


def engines_alone(
    platform: Platform, model: Model, inputs: Mapping[str, Array], *, trust: Trust, pace: Pace, stages: Stages
) -> dict[str, Summary]:
    """The latency of each engine alone with a thread on every core that the platform uses, by the device's label.

    None of the devices may be in use. Engines that do not take the whole model are left out.

    Raises:
        DeviceError: If a device failed.
    """
    cores = platform.cores
    alone: dict[str, Summary] = {}
    with stages.stage("references") as report:
        for number, device in enumerate(platform.devices):
            if len(device.cores) != 1 or len(cores) < 2:
                continue
            report(number / len(platform.devices), device.label)
            wide = replace(device, cores=cores, threads=len(cores))
            with suppress(RefusedError):
                alone[device.label] = _latency(platform, wide, model, inputs, trust, pace)
    return alone


def _latency(
    platform: Platform, device: Device, model: Model, inputs: Mapping[str, Array], trust: Trust, pace: Pace
) -> Summary:
    only = platform.with_devices(device).only(device.name)
    effort = Effort(
        repeats=min(NUM_RUNS, pace.num_runs), budget_s=pace.budget_s, stall_budget_s=_STALL_SHARE * pace.stall_budget_s
    )
    with Runtime(only, trust=trust) as runtime:
        runs = run_serially(runtime, model, whole_plan(model.graph, device.name), inputs, effort)
    return summarize([run.latency_s for run in runs])
