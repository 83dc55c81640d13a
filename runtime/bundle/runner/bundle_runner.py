"""Runs a bundle: a process for each device, pinned to its cores, which runs its segments in order.

A segment waits for those whose tensors it reads: each has a counter in shared memory, beside the tensors. To run a
bundle in a program of your own::

    runner = Runner(Bundle(Path("bundle")))
    runner.run({"x": x})
    print(runner.outputs)
    runner.close()
"""

from __future__ import annotations

import gc
import mmap
import os
import platform
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundle_engines import ENGINES
from bundle_files import ABORTED, SUBMITTED, Arrays, Bundle, BundleError

SPINS = 64
IDLE_SPIN_S = 0.02
"""How long a process without a request looks for one without a pause."""


def work(folder: Path, device_number: int, descriptor: int, pipe: int, caller: int) -> None:
    """One device's process: compile its segments, then run them for each request until the caller is gone.

    The caller, of that process identifier, is told ``ready``, ``failed`` with a reason, or ``d`` for each request that
    has ended.
    """
    bundle = Bundle(folder, check_files=False)
    device = bundle.devices[device_number]
    try:
        if device["cores"]:
            os.sched_setaffinity(0, device["cores"])  # before the engine counts the cores that it may use
        memory = mmap.mmap(descriptor, bundle.num_bytes)
        tasks: list[tuple[Callable[[], object], list[int], int, int]] = []
        for i, step in enumerate(bundle.steps):
            if step["device"] == device["name"]:
                run = ENGINES[device["engine"]](bundle, device, step, memory)
                tasks.append((run, list(map(bundle.done, step["waits_for"])), bundle.done(i), bundle.stamp(i)))
    except Exception as error:  # engines raise all kinds
        kind = "" if isinstance(error, BundleError) else f"device {device['name']!r}: {type(error).__name__}: "
        os.write(pipe, f"failed {kind}{' '.join(str(error).split())}\n".encode())
        return
    os.write(pipe, b"ready\n")
    cells = memoryview(memory)[: 8 * bundle.num_cells].cast("q")
    request, clock = 1, time.monotonic_ns
    gc.collect()
    gc.disable()  # a collection during a request would lengthen a segment
    while _wait_for_request(cells, request, caller):
        for run, waits, done, stamp in tasks:
            for cell in waits:
                while cells[cell] < request:
                    if cells[ABORTED]:
                        return
            start_ns = clock()
            try:
                run()
            except Exception as error:
                cells[ABORTED] = 1
                os.write(pipe, f"failed {type(error).__name__}: {' '.join(str(error).split())}\n".encode())
                return
            end_ns = clock()
            cells[done] = request  # after the tensors: x86 keeps the order of stores
            cells[stamp], cells[stamp + 1] = start_ns, end_ns
        os.write(pipe, b"d")
        request += 1


def _wait_for_request(cells: Any, request: int, caller: int) -> bool:
    """Whether there is a request; False if the caller is gone or another device failed."""
    deadline_s = time.monotonic() + IDLE_SPIN_S
    while True:
        for _ in range(SPINS):
            if cells[SUBMITTED] >= request:
                return True
        if cells[ABORTED] or os.getppid() != caller:
            return False
        if time.monotonic() > deadline_s:
            time.sleep(2e-4)


class Runner:
    """The bundle's processes, ready to run.

    Args:
        bundle: The bundle.

    Raises:
        BundleError: If a device's core or engine is not here, or an engine refuses a segment.
    """

    def __init__(self, bundle: Bundle) -> None:
        if platform.machine().lower() not in ("x86_64", "amd64"):
            raise BundleError(
                f"run.py relies on the order of stores of x86 processors, and this is {platform.machine()}; "
                "use the C++ runner"
            )
        self.bundle = bundle
        self._check_cores()
        self._descriptor = os.memfd_create("bundle")
        os.posix_fallocate(self._descriptor, 0, bundle.num_bytes)
        self._memory = mmap.mmap(self._descriptor, bundle.num_bytes)
        self._cells = memoryview(self._memory)[: 8 * bundle.num_cells].cast("q")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pipes: list[int] = []
        self._poll = select.poll()
        self._num_requests = 0
        self._inputs = {name: bundle.array(self._memory, name) for name in bundle.inputs if name in bundle.tensors}
        self.outputs = {name: bundle.array(self._memory, name) for name in bundle.outputs}
        try:
            for number in range(len(bundle.devices)):
                self._start(number)
            self._await_all(b"ready\n")
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Arrays) -> float:
        """One inference; its latency in seconds, from the call to the end of the last segment, as `hetsim run` counts.

        Args:
            inputs: The inputs by tensor. They are copied: later tensors may use the same memory.

        Raises:
            BundleError: If a segment fails.
        """
        start_ns = time.monotonic_ns()
        for name, array in self._inputs.items():
            array[...] = inputs[name]
        self._num_requests += 1
        self._cells[SUBMITTED] = self._num_requests
        self._await_all(b"d")
        ends = (self._cells[self.bundle.stamp(step) + 1] for step in range(len(self.bundle.steps)))
        return float(max(ends) - start_ns) * 1e-9

    def close(self) -> None:
        """End the processes."""
        self._cells[ABORTED] = 1
        for process in self._processes:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pipe in self._pipes:
            os.close(pipe)
        self._processes, self._pipes = [], []

    def _check_cores(self) -> None:
        here = os.sched_getaffinity(0)
        for device in self.bundle.devices:
            for core in device["cores"]:
                if core not in here:
                    raise BundleError(
                        f"device {device['name']!r} is pinned to core {core}, but this process may use cores "
                        f"{', '.join(map(str, sorted(here)))}; change devices[].cores in manifest.json"
                    )

    def _start(self, number: int) -> None:
        ours, theirs = os.pipe()
        self._pipes.append(ours)
        self._poll.register(ours, select.POLLIN)
        arguments = [str(self.bundle.folder), "--worker", f"{number},{self._descriptor},{theirs},{os.getpid()}"]
        command = [sys.executable, str(Path(__file__).with_name("run.py").resolve()), *arguments]
        try:
            self._processes.append(subprocess.Popen(command, pass_fds=(self._descriptor, theirs)))
        finally:
            os.close(theirs)

    def _await_all(self, word: bytes) -> None:
        """Wait until each device's process has said a word; what it says instead is why it has failed."""
        missing = set(self._pipes)
        while missing:
            for pipe, _ in self._poll.poll():
                said = os.read(pipe, 1 << 16)
                if said != word:
                    raise BundleError(self._reason(said, pipe))
                missing.discard(pipe)

    def _reason(self, said: bytes, pipe: int) -> str:
        """Why a device's process failed; if it only ended because another one failed, why that did."""
        self._cells[ABORTED] = 1
        for other in [] if said else [each for each in self._pipes if each != pipe]:
            poll = select.poll()
            poll.register(other, select.POLLIN)
            said = said or (os.read(other, 1 << 16) if poll.poll(1000) else b"")
        reason = said.decode(errors="replace").partition("failed ")[2].strip()
        return reason or f"the process of device {self.bundle.devices[self._pipes.index(pipe)]['name']!r} has died"
