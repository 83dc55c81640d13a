"""A timeline as a JSON text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hetsim.core.timeline import Timeline


def timeline_json(timeline: Timeline, warnings: Sequence[str] = ()) -> str:
    """A timeline as JSON, in seconds."""
    spans = [
        {
            "device": span.device,
            "ops": span.ops,
            "kind": span.kind,
            "start_s": span.start_s,
            "end_s": span.end_s,
            **({"request": span.request} if len(timeline.arrivals_s) > 1 else {}),
        }
        for span in timeline.spans
    ]
    content: dict[str, object] = {"makespan_s": timeline.makespan_s, "spans": spans}
    if len(timeline.arrivals_s) > 1:
        content |= {"latencies_s": timeline.latencies_s, "throughput_per_s": timeline.throughput_per_s}
    if warnings:
        content["warnings"] = list(warnings)
    return msgspec.json.encode(content).decode()
