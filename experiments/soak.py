"""Question: does the runtime keep working, with no wrong answer, no leak and no slowing down?

A small network on two devices answers a million requests, several in flight, with a few inputs in random order. Every
answer must equal the first answer to the same input to the last bit, which exposes buffers that hold another request's
numbers. Some requests are cancelled at random moments: before they have a slot, in flight, or when the answer exists.
``soak.csv`` has latencies, memory and descriptors of each interval; no request is in flight when an interval ends.
``soak.png`` is drawn from ``soak.csv`` alone. :func:`~experiments.shared.soak_rows.judge` says what counts as a fault.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from rich.console import Console

from experiments.shared.records import Settings, read_rows, write_rows, write_sidecar
from experiments.shared.soak_network import soak_network, soak_plan
from experiments.shared.soak_rows import PERCENTILES, SoakLine, judge
from hetsim.analysis.plots.soak import Soaked, draw_soak
from hetsim.core.errors import HetsimError
from hetsim.core.platform import DEFAULT_PLATFORM, Platform
from hetsim.io.platform_file import load_platform
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.runtime import Inference, Runtime, Session
from hetsim.runtime.backends.protocol import Array
from hetsim.tuner.cli.exits import run_to_exit
from hetsim.tuner.progress import OnScreen, Stages

COMMAND = "python -m experiments.soak"
NUM_INPUTS = 8

_MAX_PASSES = 40  # a request is cancelled after fewer passes of the event loop than this
_STALL_BUDGET_S = 10.0  # a slot that is in use this long after the last answer is stuck
_TOLERANCE = 1e-5  # error of the first answers, relative to the largest number in them

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def run(
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; earlier results are replaced.")],
    inferences: Annotated[int, typer.Option(min=200, help="All requests, including cancelled ones.")] = 1_000_000,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, metavar="N", help="Requests in flight at once.")] = 4,
    cancel: Annotated[float, typer.Option(min=0.0, max=1.0, help="Part of the requests that is cancelled.")] = 0.05,
    intervals: Annotated[int, typer.Option(min=4, help="Lines of the CSV.")] = 50,
    platform: Annotated[str, typer.Option(metavar="NAME|FILE", help="Devices cpu and npu.")] = DEFAULT_PLATFORM,
    seed: Annotated[int, typer.Option(help="Everything random comes from it.")] = 0,
) -> None:
    """Answer a million requests, check every answer, and watch memory, descriptors and latencies."""
    console = Console()
    lines = soak(
        load_platform(platform),
        out,
        num_requests=inferences,
        num_slots=in_flight,
        cancel=cancel,
        num_intervals=intervals,
        seed=seed,
        command=shlex.join((*shlex.split(COMMAND), *sys.argv[1:])),
        stages=OnScreen(console),
    )
    findings = judge(lines)
    for finding in findings:
        console.print(finding.text, markup=False, highlight=False, soft_wrap=True)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def soak(
    platform: Platform,
    out: Path,
    *,
    num_requests: int,
    num_slots: int,
    cancel: float,
    num_intervals: int,
    seed: int,
    command: str,
    stages: Stages,
) -> list[SoakLine]:
    """All lines of ``out/soak.csv``, which is written after each interval; the picture is drawn at the end.

    Args:
        platform: Has devices ``cpu`` and ``npu``.
        out: Folder for the results.
        num_requests: All requests, including cancelled ones.
        num_slots: Requests that are in flight at once; one more always waits for a slot.
        cancel: Part of the requests that is cancelled, from 0 to 1.
        num_intervals: Number of lines.
        seed: Everything random comes from it.
        command: The command line, for the sidecar.
        stages: Where progress is shown.

    Raises:
        HetsimError: If the platform lacks a device, a device failed, or a first answer is wrong.
        OSError: If the folder cannot be written.
    """
    model = soak_network(seed)
    settings: Settings = {
        "platform": platform.name,
        "inferences": num_requests,
        "in_flight": num_slots,
        "cancel": cancel,
        "intervals": num_intervals,
        "seed": seed,
    }
    path = out / "soak.csv"
    lines: list[SoakLine] = []
    with Runtime(platform) as runtime, runtime.load(model, soak_plan(model), num_slots=num_slots) as session:
        clients = Clients(session, *first_answers(session, model, seed), rng=np.random.default_rng(seed))
        write_sidecar(path.with_suffix(".json"), settings=settings, command=command, model_hashes={"soak": model.hash})
        sizes = [len(part) for part in np.array_split(np.arange(num_requests), num_intervals)]
        with stages.stage("soak") as report, asyncio.Runner() as loop:
            start_s = time.monotonic()
            for number, size in enumerate(sizes):
                report(number / num_intervals, f"{sum(sizes[:number])} requests")
                lines.append(_line(number + 1, start_s, loop.run(clients.ask(size, cancel)), runtime, session))
                write_rows(path, SoakLine, lines)
    draw(read_rows(path, SoakLine), out / "soak.png")
    return lines


def first_answers(session: Session, model: Model, seed: int) -> tuple[list[Mapping[str, Array]], list[bytes]]:
    """A few inputs and the plan's first answer to each; all answers differ.

    Raises:
        HetsimError: If an answer differs from that of the reference engine by more than rounding, or two are equal.
    """
    inputs = [random_inputs(model, seed=seed + number) for number in range(NUM_INPUTS)]
    answers = []
    for number, arrays in enumerate(inputs):
        answer, expected = session.run(arrays).outputs["join"], evaluate(model.proto, arrays)["join"]
        error = float(np.abs(answer - expected).max() / np.abs(expected).max())
        if not error <= _TOLERANCE:
            raise HetsimError(f"the first answer to input {number} is off by {error:.2g}; more than {_TOLERANCE:g}")
        answers.append(answer.tobytes())
    if len(set(answers)) < NUM_INPUTS:
        raise HetsimError("two inputs have the same answer, so a stale answer would go unnoticed; take another seed")
    return list(inputs), answers


@dataclass(slots=True)
class Tally:
    """Counts and latencies of the requests of an interval, in nanoseconds where the name says so."""

    num_requests: int
    took_s: float
    latencies_ns: list[int]
    num_cancelled: int = 0
    num_wrong: int = 0


class Clients:
    """Concurrent clients of a session: one more than it has slots, so that one always waits for a slot.

    Args:
        session: Answers the requests.
        inputs: Inputs of requests.
        answers: The right output for each of the inputs, as bytes.
        rng: Draws the inputs of requests, and which requests are cancelled when.
    """

    def __init__(
        self,
        session: Session,
        inputs: Sequence[Mapping[str, Array]],
        answers: Sequence[bytes],
        *,
        rng: np.random.Generator,
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._answers = answers
        self._rng = rng

    async def ask(self, num_requests: int, cancel: float) -> Tally:
        """Send ``num_requests`` requests, check every answer, and return when no client waits for an answer."""
        numbers = self._rng.integers(len(self._inputs), size=num_requests).tolist()
        passes = self._rng.integers(_MAX_PASSES, size=num_requests)
        passes[self._rng.random(num_requests) >= cancel] = -1  # is not cancelled
        requests = zip(numbers, passes.tolist(), strict=True)  # one iterator, from which all clients take requests
        tally, start_s = Tally(num_requests, 0.0, []), time.monotonic()
        await asyncio.gather(*(self._client(requests, tally) for _ in range(self._session.num_slots + 1)))
        tally.took_s = time.monotonic() - start_s
        return tally

    async def _client(self, requests: Iterator[tuple[int, int]], tally: Tally) -> None:
        for number, passes in requests:
            if passes < 0:
                start_ns = time.monotonic_ns()
                inference = await self._session.infer(self._inputs[number])
                tally.latencies_ns.append(time.monotonic_ns() - start_ns)
            else:
                finished = await self._cancel(number, passes)
                if finished is None:
                    tally.num_cancelled += 1
                    continue
                inference = finished
            tally.num_wrong += inference.outputs["join"].tobytes() != self._answers[number]

    async def _cancel(self, number: int, passes: int) -> Inference | None:
        """Request an answer and cancel the request after some passes of the event loop; the answer if it came first."""
        task = asyncio.ensure_future(self._session.infer(self._inputs[number]))
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return None if task.cancelled() else task.result()


def _line(interval: int, start_s: float, tally: Tally, runtime: Runtime, session: Session) -> SoakLine:
    """An interval's line, made once the devices have also finished the cancelled requests."""
    deadline_s = time.monotonic() + _STALL_BUDGET_S
    while session.num_in_flight and time.monotonic() < deadline_s:
        session.poll(0.05)
    processes = {"caller": psutil.Process(), **{name: psutil.Process(pid) for name, pid in runtime.pids.items()}}
    latencies_s = np.asarray(tally.latencies_ns) * 1e-9
    p50_s, p99_s, p999_s = np.percentile(latencies_s, list(PERCENTILES.values())).tolist()
    memory = {name: process.memory_info().rss for name, process in processes.items()}
    descriptors = {name: process.num_fds() for name, process in processes.items()}
    return SoakLine(
        interval=interval,
        end_s=time.monotonic() - start_s,
        num_requests=tally.num_requests,
        num_cancelled=tally.num_cancelled,
        num_wrong=tally.num_wrong,
        num_stuck=session.num_in_flight,
        throughput_per_s=tally.num_requests / tally.took_s,
        p50_s=p50_s,
        p99_s=p99_s,
        p999_s=p999_s,
        caller_bytes=memory["caller"],
        cpu_bytes=memory["cpu"],
        npu_bytes=memory["npu"],
        caller_descriptors=descriptors["caller"],
        cpu_descriptors=descriptors["cpu"],
        npu_descriptors=descriptors["npu"],
    )


def draw(lines: Sequence[SoakLine], picture: Path) -> None:
    """Draw latencies and memory over time.

    Raises:
        OSError: If the file cannot be written.
    """
    num_requests, cancelled = sum(line.num_requests for line in lines), sum(line.num_cancelled for line in lines)
    draw_soak(
        Soaked(
            ends_s=[line.end_s for line in lines],
            latencies_s={name: [getattr(line, f"{name}_s") for line in lines] for name in PERCENTILES},
            memory_bytes={
                label: [getattr(line, f"{name}_bytes") for line in lines]
                for name, label in (("caller", "caller"), ("cpu", "worker of cpu"), ("npu", "worker of npu (stand-in)"))
            },
        ),
        picture,
        title=f"Soak: {num_requests:,} requests on two devices",
        subtitle=f"{cancelled:,} given up, {sum(line.num_wrong for line in lines)} wrong answers; "
        f"each point is an interval of {lines[0].num_requests:,} requests",
    )


def main() -> None:
    """Run the experiment; a mistake of the user's becomes one line and exit code 2."""
    run_to_exit(app, command=COMMAND)


if __name__ == "__main__":
    main()
