"""Timelines: the spans in which devices run, hand over and wait, simulated or measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from hetsim.core.interface.notebook import timeline_svg

SpanKind = Literal["compute", "hand-over", "wait"]
Origin = Literal["simulated", "measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """An interval of time in which one thing happens.

    Attributes:
        kind: ``"compute"``: a device runs a segment. ``"hand-over"``: a tensor is on its way to another device.
            ``"wait"``: a device is idle until its next segment starts.
        device: The device; for a hand-over, the device that receives.
        ops: The segment's operators. For a wait, those of the next segment; for a hand-over, those of the consumer.
        start_s: Seconds since the first request was due.
        end_s: Not before ``start_s``.
        tensor: The tensor that is handed over; empty for other kinds.
        source: For a hand-over, the device that sends; empty for other kinds.
        request: Number of the request that it belongs to, from 0.
    """

    kind: SpanKind
    device: str
    ops: tuple[str, ...]
    start_s: float
    end_s: float
    tensor: str = ""
    source: str = ""
    request: int = 0

    @property
    def duration_s(self) -> float:
        """Length of the span in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All spans of one or more inferences, ordered by start, ties by device, then by kind.

    Attributes:
        origin: Whether the timeline was simulated or measured.
        spans: The spans.
        arrivals_s: By request, when it was due; ascending.
    """

    origin: Origin
    spans: tuple[Span, ...]
    arrivals_s: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.spans, key=lambda s: (s.start_s, s.device, s.kind, s.end_s, s.tensor)))
        object.__setattr__(self, "spans", ordered)

    def __repr__(self) -> str:
        devices = ", ".join(dict.fromkeys(span.device for span in self.compute))
        requests = f"{len(self.arrivals_s)} requests, " if len(self.arrivals_s) > 1 else ""
        return (
            f"<Timeline, {self.origin}: {requests}{self.makespan_s * 1e3:.3f} ms, {len(self.compute)} segments on "
            f"{devices or 'no device'}>"
        )

    def _repr_html_(self) -> str:
        return timeline_svg(self.spans, origin=self.origin)

    @cached_property
    def compute(self) -> tuple[Span, ...]:
        """The spans in which devices run segments."""
        return tuple(span for span in self.spans if span.kind == "compute")

    @property
    def makespan_s(self) -> float:
        """When the last segment ended, in seconds since the first request was due; 0 with no spans."""
        return max((span.end_s for span in self.compute), default=0.0)

    @cached_property
    def ends_s(self) -> tuple[float, ...]:
        """By request, when its last segment ended, in seconds since the first request was due."""
        ends_s = list(self.arrivals_s)
        for span in self.compute:
            ends_s[span.request] = max(ends_s[span.request], span.end_s)
        return tuple(ends_s)

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """By request, from when it was due to the end of its last segment, in seconds."""
        return tuple(end_s - arrival_s for end_s, arrival_s in zip(self.ends_s, self.arrivals_s, strict=True))

    @property
    def throughput_per_s(self) -> float:
        """Requests per second: the requests after the first, divided by the time from the first end to the last end.

        For a single request, it is 1 divided by its latency. It is infinite if no time passes.
        """
        ends_s = self.ends_s
        num_requests, seconds = len(ends_s) - 1, ends_s[-1] - ends_s[0]
        if not num_requests:
            num_requests, seconds = 1, self.latencies_s[0]
        return num_requests / seconds if seconds > 0 else math.inf

    def busy_s(self, device: str) -> float:
        """How long the device ran segments, in seconds."""
        return sum(span.duration_s for span in self.compute if span.device == device)

    def with_waits(self) -> Timeline:
        """The same timeline with a wait span for each gap before a segment of a device."""
        waits: list[Span] = []
        free_s: dict[str, float] = {}
        for span in self.compute:
            idle_from_s = free_s.get(span.device, 0.0)
            if span.start_s > idle_from_s:
                waits.append(
                    Span(
                        kind="wait",
                        device=span.device,
                        ops=span.ops,
                        start_s=idle_from_s,
                        end_s=span.start_s,
                        request=span.request,
                    )
                )
            free_s[span.device] = span.end_s
        return replace(self, spans=(*(s for s in self.spans if s.kind != "wait"), *waits))
