"""A device whose core is as fast as the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from hetsim.core.dataflow import resolve
from hetsim.core.plan import whole_plan
from hetsim.runtime.inference import Inference
from hetsim.runtime.interference_monitor import InterferenceMonitor
from tests.support.models import chain

MODEL = chain(3)
PLAN = whole_plan(MODEL.graph, "npu")
FREE_S, SHARED_S = 45e-6, 75e-6
_FLOW = resolve(MODEL.graph, PLAN)


def serially_run(
    speed_probes_s: Mapping[str, float],
    transfer_probes_s: Mapping[str, float] | None = None,
    *,
    start_ns: int = 0,
    follows: bool = True,
) -> Inference:
    """The result of a serial run, whose duration follows its speed probes or not; without any, of a parallel one."""
    probe_s = sum(speed_probes_s.values()) if follows and speed_probes_s else FREE_S
    return Inference(
        outputs={},
        taken_up_ns=0,
        submitted_ns=0,
        collected_ns=0,
        stamps_ns=np.array([[start_ns, round(1e9 * probe_s) + start_ns]]),
        flow=_FLOW,
        speed_probes_s=speed_probes_s,
        transfer_probes_s=transfer_probes_s or {},
    )


class Scripted:
    """A runtime and its one session, whose speed probes take the times that the test gives, then ``FREE_S``.

    Runs are numbered from 1: each starts at its number, in nanoseconds.
    """

    def __init__(self, speed_probes_s: Sequence[float] = ()) -> None:
        self.interference_monitor = InterferenceMonitor()
        self._coming = list(speed_probes_s)
        self.num_runs = 0

    def load(self, *_: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(self, _inputs: Mapping[str, Any], *, serial: bool = False) -> Inference:
        speed_probes_s = {"npu": self._coming.pop(0) if self._coming else FREE_S} if serial else {}
        self.num_runs += 1
        inference = serially_run(speed_probes_s, start_ns=self.num_runs)
        self.interference_monitor.learn(inference)
        return inference
