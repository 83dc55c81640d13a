"""Static placement by operator type, with no profile: what many deployments do, and the weakest baseline.

Convolutions and matrix products go to the accelerator, everything else to the CPU; neighbours on one device merge.
"""

from __future__ import annotations

from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.scheduler.effort import Effort
from hetsim.scheduler.segments import plan_from_assignment

HEAVY_KINDS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def type_based(problem: Problem, effort: Effort | None = None) -> Plan:  # noqa: ARG001  (one pass, which ends soon)
    """The plan that puts :data:`HEAVY_KINDS` on the first NPU and everything else on the first CPU.

    With no NPU the first device that is not a CPU takes its place; with no CPU, or none but CPUs, the platform's first
    device stands in for what is missing. An operator that its device cannot run goes to the first one that can.
    """
    devices = problem.platform.devices
    cpu = next((device.name for device in devices if device.kind == "cpu"), devices[0].name)
    others = [device.name for device in devices if device.kind != "cpu"]
    npu = next((device.name for device in devices if device.kind == "npu"), next(iter(others), devices[0].name))
    device_of: dict[str, str] = {}
    for op in problem.graph.ops:
        runnable = problem.devices_for((op.name,))
        wanted = npu if op.kind in HEAVY_KINDS else cpu
        device_of[op.name] = wanted if wanted in runnable else runnable[0]
    return plan_from_assignment(problem, "type_based", device_of, connected=True)
