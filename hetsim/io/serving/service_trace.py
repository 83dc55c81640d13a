"""What became of a service as Chrome trace JSON, which https://ui.perfetto.dev opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from hetsim.core.serving.outcome import Outcome
from hetsim.io.files import write_atomically

Event = dict[str, Any]


def save_service_trace(outcome: Outcome, path: Path, *, device_labels: Sequence[str]) -> None:
    """Write the steps that ran, a thread for each device, and the requests, a thread for each workload.

    Args:
        outcome: With its runs.
        path: The file, usually ``.json``.
        device_labels: By device of the outcome, what it is called.

    Raises:
        OSError: If the file cannot be written.
    """
    events = [*_devices(outcome, device_labels), *_requests(outcome)]
    content = {"displayTimeUnit": "ms", "otherData": {"origin": outcome.origin}, "traceEvents": events}
    write_atomically(path, msgspec.json.encode(content) + b"\n")


def _devices(outcome: Outcome, labels: Sequence[str]) -> list[Event]:
    threads = {name: number for number, name in enumerate(outcome.busy_s, 1)}
    names = [one.name for one in outcome.workloads]
    events = [_name("process_name", 1, 0, f"devices, {outcome.origin}")]
    events += [_name("thread_name", 1, number, label) for number, label in enumerate(labels, 1)]
    for run in outcome.runs:
        more = f" +{len(run.ops) - 1}" if len(run.ops) > 1 else ""
        events.append(
            {
                "ph": "X",
                "pid": 1,
                "tid": threads[run.device],
                "name": f"{names[run.workload]} {run.request}: {run.ops[0]}{more}",
                "cat": names[run.workload],
                "ts": run.start_s * 1e6,
                "dur": (run.end_s - run.start_s) * 1e6,
                "args": {"instance": run.instance, "operators": len(run.ops)},
            }
        )
    return events


def _requests(outcome: Outcome) -> list[Event]:
    events = [_name("process_name", 2, 0, f"requests, {outcome.origin}")]
    for number, one in enumerate(outcome.workloads, 1):
        events.append(_name("thread_name", 2, number, one.name))
        for request, (due_s, end_s) in enumerate(zip(one.due_s.tolist(), one.ends_s.tolist(), strict=True)):
            dropped = end_s != end_s  # NaN
            late = dropped or end_s - due_s > one.deadline_s
            common = {"cat": one.name, "pid": 2, "tid": number, "id": f"{number}.{request}"}
            name = f"{one.name} {request}{' dropped' if dropped else ' late' if late else ''}"
            events.append({"ph": "b", "name": name, "ts": due_s * 1e6, **common})
            events.append({"ph": "e", "name": name, "ts": (due_s if dropped else end_s) * 1e6, **common})
    return events


def _name(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "pid": process, "tid": thread, "name": kind, "args": {"name": name}}
