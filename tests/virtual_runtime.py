"""Devices on a clock of their own: walks take what the test says they take, whatever the machine does meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import numpy as np

from hetsim.machine.platform import Platform
from hetsim.model import Model
from hetsim.plan import Plan, resolve
from runtime.backends.protocol import Array
from runtime.inference import Inference
from tests.models import fake_platform

OP_S = 1e-3
"""What each operator takes while nothing disturbs the machine."""


class VirtualRuntime:
    """As much of a runtime as the profiler needs.

    Args:
        slowness: By how much a walk is slower, from how many there were before it, of whatever plan; 1 where it is not.

    Attributes:
        walks: Of every walk in the order of time, how many segments its plan has.
    """

    def __init__(self, slowness: Callable[[int], float]) -> None:
        self.platform: Platform = fake_platform("npu")
        self.engines = {"npu": "virtual"}
        self.walks: list[int] = []
        self._slowness = slowness

    def load(self, model: Model, plan: Plan) -> VirtualSession:
        return VirtualSession(self, model, plan)

    def next_walk(self, num_segments: int) -> float:
        """The slowness of a walk that begins now."""
        self.walks.append(num_segments)
        return self._slowness(len(self.walks) - 1)


class VirtualSession:
    """A plan that is walked in no time."""

    def __init__(self, runtime: VirtualRuntime, model: Model, plan: Plan) -> None:
        self._runtime = runtime
        self._flow = resolve(model.graph, plan)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(self, _inputs: Mapping[str, Array], *, serial: bool) -> Inference:
        assert serial
        slowness = self._runtime.next_walk(len(self._flow.steps))
        ends_s = np.cumsum([OP_S * slowness * len(step.segment.ops) for step in self._flow.steps])
        ends_ns = np.round(ends_s * 1e9).astype(np.int64)
        return Inference(
            outputs={},
            taken_up_ns=0,
            submitted_ns=0,
            collected_ns=int(ends_ns[-1]),
            stamps_ns=np.column_stack([np.concatenate([[0], ends_ns[:-1]]), ends_ns]),
            flow=self._flow,
        )
