"""Timelines as Chrome trace JSON, which https://ui.perfetto.dev and chrome://tracing open.

A timeline is one process with a thread for each device. Hand-overs have threads of their own, as many as overlap, and
arrows lead from producer to consumer. Format: *Trace Event Format*, Duffy and Sinclair, Google, 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.core.timeline import Span, Timeline
from hetsim.io.files import write_atomically

Event = dict[str, Any]
_PID = 1


def save_trace(timeline: Timeline, path: Path, *, platform: Platform, graph: Graph, label: str) -> None:
    """Write a timeline as Chrome trace JSON; the file appears whole or not at all.

    Args:
        timeline: The timeline; waits are computed again.
        path: The file, usually ``.json``.
        platform: Gives the devices' names and the order of the threads.
        graph: Gives the names of segments and of the process.
        label: Follows the graph's name in the name of the process, such as ``"simulated"``.

    Raises:
        OSError: If the file cannot be written.
    """
    content = {
        "displayTimeUnit": "ms",
        "otherData": {"model": graph.name, "platform": platform.name, "origin": timeline.origin},
        "traceEvents": trace_events(timeline, platform=platform, graph=graph, process_name=f"{graph.name} {label}"),
    }
    write_atomically(path, msgspec.json.encode(content) + b"\n")


def trace_events(timeline: Timeline, *, platform: Platform, graph: Graph, process_name: str) -> list[Event]:
    """The events of one timeline: metadata, then spans in order of their start, then arrows."""
    complete = timeline.with_waits()
    names = list(dict.fromkeys((*platform.device_names, *(span.device for span in complete.compute))))
    threads = {name: number for number, name in enumerate(names, 1)}
    labels = {device.name: device.label for device in platform.devices}
    handovers = [span for span in complete.spans if span.kind == "hand-over"]
    tracks = _tracks(handovers)
    first_track = len(threads) + 1
    thread_names = [labels.get(name, name) for name in names]
    num_tracks = max(tracks, default=-1) + 1
    thread_names += ["hand-over" if num_tracks == 1 else f"hand-over {i + 1}" for i in range(num_tracks)]
    events = [_metadata("process_name", 0, name=process_name)]
    for number, name in enumerate(thread_names, 1):
        events.append(_metadata("thread_name", number, name=name))
        events.append(_metadata("thread_sort_index", number, sort_index=number))
    track_of = iter(tracks)
    for span in complete.spans:
        if span.kind == "hand-over":
            events.append(_handover(span, first_track + next(track_of), graph))
        else:
            events.append(_slice(span, threads[span.device], graph))
    for number, span in enumerate(handovers):
        events.extend(_arrow(number, span, complete.compute, threads))
    return events


def _metadata(kind: str, thread: int, **args: str | int) -> Event:
    return {"ph": "M", "pid": _PID, "tid": thread, "name": kind, "args": args}


def _slice(span: Span, thread: int, graph: Graph) -> Event:
    """The event of a segment that runs, or of the wait before it."""
    label = graph.label(span.ops)
    event = _complete(span, thread, name=label if span.kind == "compute" else f"wait for {label}")
    event["args"] |= {"num_ops": len(span.ops), "ops": list(span.ops)}
    if span.kind == "wait":
        event["cname"] = "grey"
    return event


def _handover(span: Span, thread: int, graph: Graph) -> Event:
    event = _complete(span, thread, name=span.tensor or "hand-over")
    event["args"] |= {"from": span.source, "to": span.device, "consumer": graph.label(span.ops)}
    return event


def _complete(span: Span, thread: int, *, name: str) -> Event:
    """A complete event. Start and end are rounded to nanoseconds, so that neighbours touch and never overlap."""
    start_ns, end_ns = round(span.start_s * 1e9), round(span.end_s * 1e9)
    return {
        "ph": "X",
        "pid": _PID,
        "tid": thread,
        "name": name,
        "cat": span.kind,
        "ts": start_ns / 1e3,
        "dur": (end_ns - start_ns) / 1e3,
        "args": {"duration_ms": span.duration_s * 1e3, "request": span.request},
    }


def _tracks(spans: list[Span]) -> list[int]:
    """By span, in order of start, the first free track, since slices of one thread must not overlap."""
    free_s: list[float] = []
    tracks = []
    for span in spans:
        track = next((i for i, end_s in enumerate(free_s) if end_s <= span.start_s), len(free_s))
        free_s[track : track + 1] = [span.end_s]
        tracks.append(track)
    return tracks


def _arrow(number: int, handover: Span, compute: tuple[Span, ...], threads: dict[str, int]) -> Iterator[Event]:
    """The two ends of an arrow from the segment that makes a tensor to its reader; none if one is missing."""
    makers = [
        span
        for span in compute
        if span.device == handover.source and span.request == handover.request and span.start_s < handover.start_s
    ]
    readers = [
        span
        for span in compute
        if span.device == handover.device and span.request == handover.request and span.ops == handover.ops
    ]
    if not makers or not readers:
        return
    # The last segment that ends before the hand-over starts; a measured start may be a little before the producer's
    # end.
    maker = max(makers, key=lambda span: (span.end_s <= handover.start_s + 1e-6, span.start_s))
    # An arrow belongs to the slice that contains its time, so it starts just before the producer ends.
    leaves_s = max(maker.start_s, maker.end_s - min(1e-8, maker.duration_s / 2))
    shared: Event = {"pid": _PID, "cat": "hand-over", "id": number, "name": handover.tensor or "hand-over"}
    yield {"ph": "s", "tid": threads[maker.device], "ts": leaves_s * 1e6, **shared}
    yield {
        "ph": "f",
        "bp": "e",
        "tid": threads[readers[0].device],
        "ts": round(readers[0].start_s * 1e9) / 1e3,
        **shared,
    }
