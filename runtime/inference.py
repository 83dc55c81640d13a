"""A request in flight, and its result: outputs, and when each segment ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from hetsim.core.dataflow import Dataflow
from hetsim.core.timeline import Span, Timeline
from hetsim.runtime.backends.protocol import Array


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The result of one request.

    Attributes:
        outputs: The model's outputs by tensor, copies that belong to the caller.
        taken_up_ns: When the caller began to submit the request, on the monotonic clock.
        submitted_ns: When the devices could see the request, on the same clock.
        collected_ns: When the outputs had been copied, on the same clock.
        stamps_ns: Start and end of each step of the plan's dataflow on the same clock; shape (num_steps, 2).
        flow: The plan that was executed.
        speed_probes_s: By device of a serial run, the time of its speed probe right after its part of the request, in
            seconds (:mod:`hetsim.runtime.worker.probes.speed`); emulated devices have none.
        transfer_probes_s: By device of a serial run on several devices, the time of its transfer probe, in seconds
            (:mod:`hetsim.runtime.worker.probes.transfer`).
    """

    outputs: Mapping[str, Array]
    taken_up_ns: int
    submitted_ns: int
    collected_ns: int
    stamps_ns: Array
    flow: Dataflow
    speed_probes_s: Mapping[str, float] = field(default_factory=dict)
    transfer_probes_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def latency_s(self) -> float:
        """From the request's submission to the end of its last segment, in seconds."""
        return float(self.stamps_ns[:, 1].max() - self.submitted_ns) * 1e-9

    @cached_property
    def durations_s(self) -> Array:
        """How long each step ran, in seconds; shape (num_steps,)."""
        durations: Array = (self.stamps_ns[:, 1] - self.stamps_ns[:, 0]) * 1e-9
        return durations

    @cached_property
    def occupied_s(self) -> Array:
        """How long each step of a serial run occupied its device, in seconds; shape (num_steps,).

        That is the step's duration, and the time from the end of the step before if that ran on the same device, or
        from the submission for the first step. The time to get there from another device belongs to the link's set-up.
        """
        occupied: Array = self.durations_s.copy()
        before_ns = self.submitted_ns
        for i, step in enumerate(self.flow.steps):
            if not i or self.flow.steps[i - 1].segment.device == step.segment.device:
                occupied[i] += (self.stamps_ns[i, 0] - before_ns) * 1e-9
            before_ns = self.stamps_ns[i, 1]
        return occupied

    @cached_property
    def timeline(self) -> Timeline:
        """The segments and hand-overs over time, with time 0 at the submission.

        A hand-over is listed if the device was idle and waited for this tensor last: from the end of the last producer
        to the start of the consumer.
        """
        starts, ends = ((self.stamps_ns - self.submitted_ns) * 1e-9).T.tolist()
        spans: list[Span] = []
        for i, step in enumerate(self.flow.steps):
            device, ops = step.segment.device, step.segment.ops
            spans.append(Span(kind="compute", device=device, ops=ops, start_s=starts[i], end_s=ends[i]))
            made = [(ends[maker], maker, tensor) for tensor, maker in step.inputs if maker is not None]
            if not made:
                continue
            arrival_s, maker, tensor = max(made)
            source = self.flow.steps[maker].segment.device
            if source != device and (step.before is None or ends[step.before] <= arrival_s):
                spans.append(
                    Span(
                        kind="hand-over",
                        device=device,
                        source=source,
                        tensor=tensor,
                        ops=ops,
                        start_s=arrival_s,
                        end_s=max(starts[i], arrival_s),
                    )
                )
        return Timeline(origin="measured", spans=tuple(spans))


@dataclass(slots=True)
class PendingRequest:
    """A request that some device has not finished.

    Attributes:
        taken_up_ns: When the caller began to submit it, on the monotonic clock.
        submitted_ns: When the devices could see it, on the same clock.
        devices: The devices that have not finished it.
        receiver: Gets the result; None drops it.
    """

    taken_up_ns: int
    submitted_ns: int
    devices: set[str]
    receiver: Callable[[Inference], object] | None
