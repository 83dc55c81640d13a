"""Writes a plan as a placement, runs it by its own run.py, and reports what the engine made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType

import msgspec
import numpy as np

from hetsim.core.dataflow import check_plan
from hetsim.core.errors import PlanError, PlatformError
from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.statistics import summarize
from hetsim.costs.problems import plan_problem
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.runtime.backends.protocol import Refused
from hetsim.runtime.bundle.write import Example, check_plain
from hetsim.runtime.placement.files import Answer, Latency, Report, encode
from hetsim.runtime.placement.job import Job, Verdict
from hetsim.runtime.placement.serial import serial_parts, serial_timeline
from hetsim.sim.simulate import makespan_s

ENGINES = ("onnxruntime", "openvino")
"""The engines that take placements."""
_RUNNER = Path(__file__).with_name("runner")
_OUTPUT_ERROR = Path(__file__).parents[1] / "bundle" / "runner" / "output_error.py"
_NUM_RUNS = 30
_MAX_RUN_S = 900


def write_placement(
    model: Model,
    plan: Plan,
    platform: Platform,
    out: Path,
    *,
    engine: str,
    example: Example,
    profile: Profile | None = None,
) -> Report:
    """Write a plan as a placement, completely or not at all, and return what the engine made of it.

    The engine runs the placement once it is written, as a person would: by its run.py, in a process of its own.

    Args:
        model: The imported model.
        plan: A plan for it on the platform's devices, with splits or without.
        platform: The devices.
        out: The folder; it must not exist, or be empty.
        engine: One of :data:`ENGINES`.
        example: Values by which the placement is checked.
        profile: Measurements of the devices, which the simulated latency rests on; None stands for none.

    Raises:
        PlanError: If the plan does not fit the model, the model has values that a placement does not hold, the folder
            is not empty, or the engine cannot run the model.
        PlatformError: If the engine has nothing that is a device of the plan.
    """
    if out.exists() and any(out.iterdir()):
        raise PlanError(f"{out} is not empty; give another folder with --out, or remove it")
    planned = planned_model(model, plan)
    plan = plan.in_order(planned.graph)
    check_plan(planned.graph, plan, device_names=platform.device_names, model_hash=model.hash)
    check_plain(planned, "a placement")
    job = Job(model=planned, plan=plan, platform=platform, tolerance=example.tolerance)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        report = _write(job, model, folder, engine, example, profile)
        folder.chmod(0o755)
        folder.replace(out)
    except Refused as error:
        raise PlanError(f"{engine} cannot take {model.name!r}: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def _write(job: Job, base: Model, folder: Path, engine: str, example: Example, profile: Profile | None) -> Report:
    target = _module(engine)
    settings = target.write(job, folder)
    (folder / "settings.json").write_bytes(encode(settings))
    np.savez(folder / "inputs.npz", **example.inputs)
    np.savez(folder / "outputs.npz", **example.outputs)
    for file in (_RUNNER / "placement_files.py", _OUTPUT_ERROR):
        shutil.copy(file, folder)
    shutil.copy(_RUNNER / f"run_{engine}.py", folder / "run.py")
    answer = _run(folder)
    verdict: Verdict = target.judge(job, folder, settings, answer)
    (folder / "owners.json").unlink(missing_ok=True)
    report = _report(job, engine, answer, verdict, _latency(job, base, verdict, answer, profile))
    (folder / "report.json").write_bytes(encode(report))
    return report


def _module(engine: str) -> ModuleType:
    """The engine's own part, which imports the engine.

    Raises:
        PlatformError: If it is not installed.
    """
    try:
        if engine == "onnxruntime":
            from hetsim.runtime.placement import for_onnxruntime

            return for_onnxruntime
        from hetsim.runtime.placement import for_openvino
    except ImportError as error:
        raise PlatformError(f"{engine} is not installed ({error}); install it with: pip install {engine}") from None
    return for_openvino


def _run(folder: Path) -> Answer:
    """What the placement's run.py says, without hetsim on its path.

    Raises:
        PlanError: If it fails.
    """
    command = [sys.executable, "-I", str(folder / "run.py"), "--json", "--runs", str(_NUM_RUNS)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAX_RUN_S, env=environment)
    except subprocess.TimeoutExpired:
        raise PlanError(f"the engine did not end {_NUM_RUNS} inferences within {_MAX_RUN_S} s") from None
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    if done.returncode not in (0, 1) or not done.stdout:
        said = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
        raise PlanError(f"the engine cannot run the placement: {said.removeprefix('run.py: ')}")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Answer)


def _latency(job: Job, base: Model, verdict: Verdict, answer: Answer, profile: Profile | None) -> Latency:
    """The latency as measured, and as simulated for the parts that the engine runs one after the other."""
    measured = summarize(answer.latencies_s)
    simulated_s, why, on = None, "", {}
    parts = serial_parts(job.model.graph, verdict.places)
    unknown = sorted({part.place for part in parts} - set(verdict.device_of))
    if profile is None:
        why = "there is no profile; give one with --profile"
    elif unknown:
        why = f"no device of platform {job.platform.name!r} is {unknown[0]}, so nothing measured tells its times"
    else:
        on = {place: verdict.device_of[place] for place in sorted({part.place for part in parts})}
        try:
            simulated_s = serial_timeline(base, job.platform, profile, job.plan, parts, on).makespan_s
        except PlanError as error:
            why = str(error)
    return Latency(
        measured_s=measured.median_s,
        cpu_s=summarize(answer.cpu_times_s).median_s,
        low_s=measured.low_s,
        high_s=measured.high_s,
        num_runs=measured.num_samples,
        simulated_s=simulated_s,
        why_not_simulated=why,
        num_segments=len(parts),
        simulated_on=on,
        planned_s=None
        if profile is None
        else makespan_s(plan_problem(base, job.platform, profile, job.plan), job.plan),
    )


def _report(job: Job, engine: str, answer: Answer, verdict: Verdict, latency: Latency) -> Report:
    num_nodes = len(job.model.proto.graph.node)
    return Report(
        target=engine,
        engine=answer.engine,
        model=job.model.name,
        plan_digest=job.plan.digest,
        devices=dict(verdict.devices),
        num_nodes=num_nodes,
        num_as_planned=num_nodes - len(verdict.differences),
        differences=verdict.differences,
        lost=verdict.lost,
        latency=latency,
        output_error=answer.error,
        tolerance=answer.tolerance,
    )
