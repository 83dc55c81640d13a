"""What ``hetsim run`` reads, prints and writes."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from hetsim.analysis.breakdown import device_assignments
from hetsim.core.errors import ModelError
from hetsim.core.load import Load
from hetsim.io.chrome_trace import save_trace
from hetsim.io.files import write_atomically
from hetsim.tuner.api.run import RunResult
from hetsim.tuner.cli.screen import say, say_load
from hetsim.tuner.report.shared_runs import shared_runs


def write_run(result: RunResult, *, outputs: Path | None, trace: Path | None, picture: Path | None) -> None:
    """Write what is asked for of the median run."""
    graph = result.model.graph
    if outputs is not None:
        content = BytesIO()
        np.savez(content, allow_pickle=False, **_arrays(result.outputs))
        write_atomically(outputs, content.getvalue())
    if trace is not None:
        save_trace(result.timeline, trace, platform=result.platform, graph=graph, label="measured")
    if picture is not None:
        from hetsim.analysis.plots.timelines import draw_timelines

        draw_timelines(None, result.timeline, picture, platform=result.platform, graph=graph, title=graph.name)


def print_run(result: RunResult, load: Load) -> None:
    """Latencies, how the load fared, and which device ran what."""
    latency = result.latency
    say(
        f"{latency.median_s * 1e3:.2f} ms median of {latency.num_samples} "
        f"(95 % interval {latency.low_s * 1e3:.2f} - {latency.high_s * 1e3:.2f})"
    )
    say_load(result.served.timeline, load)
    for assignment in device_assignments(result.model.graph, result.plan, result.timeline, result.platform):
        say(f"  {assignment}")
    for shared in shared_runs(result.base, result.plan):
        say(f"  in parts: {shared}")


def _arrays(outputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Outputs as arrays that an .npz file holds: text as fixed-length text, ``x/0``, ``x/1``, ... of a sequence ``x``.

    An optional value that is absent is left out.
    """
    found: dict[str, np.ndarray] = {}
    for name, value in outputs.items():
        if isinstance(value, list):
            found |= _arrays({f"{name}/{i}": each for i, each in enumerate(value)})
        elif value is not None:
            array = np.asarray(value)
            found[name] = array.astype(str) if array.dtype.kind == "O" else array
    return found


def read_inputs(path: Path) -> Mapping[str, np.ndarray]:
    """Inputs by tensor from an .npz file.

    Raises:
        ModelError: If the file cannot be read.
    """
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot read inputs from {path}: {error}; give an .npz file with one array for each input"
        ) from None
