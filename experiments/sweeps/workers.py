"""Workers that compute the points of a sweep: this process, processes of this machine, or a Dask cluster.

All are executors of ``concurrent.futures``. The job, which is the same for all points, is sent to a worker once; later
messages hold points only.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from hetsim.core.errors import SweepError

ANSWER_S = 8.0
"""Time within which a Dask scheduler must answer."""
_BATCHES_PER_WORKER = 2
"""Batches in flight for each worker: one is computed and one waits, so that no worker waits for the caller."""

Job = Callable[[Sequence[Any]], Any]
"""Computes a batch of points. It is pickled and sent to each worker once."""

Submit = Callable[[Sequence[Any]], "Future[Any]"]
"""Submits a batch of points to the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The workers of a sweep.

    Attributes:
        label: Their name in messages.
        room: How many batches should be in flight now; 0 while there is no worker.
        start: A context in which the workers do a job. Batches that have not started are cancelled at its end.
        lost: Errors that a batch's future raises if its worker died. After a ``BrokenExecutor``, ``start`` has to be
            called again.
    """

    label: str
    room: Callable[[], int]
    start: Callable[[Job], AbstractContextManager[Submit]]
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)


def on_executor(executor: Executor, num_workers: int, *, label: str = "an executor") -> Workers:
    """The workers of any executor of ``concurrent.futures``, which the caller starts and ends.

    The job is sent with each batch, because executors in general have no means to send it once.

    Args:
        executor: The executor.
        num_workers: How many batches it runs at once.
        label: Its name in messages.
    """

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        with _cancelled_at_end() as track:
            yield lambda points: track(executor.submit(job, points))

    return Workers(label=label, room=lambda: _BATCHES_PER_WORKER * num_workers, start=start)


@contextmanager
def _cancelled_at_end() -> Iterator[Callable[[Future[Any]], Future[Any]]]:
    """A function to pass futures through; those that are not done when the context ends are cancelled."""
    waiting: set[Future[Any]] = set()

    def track(future: Future[Any]) -> Future[Any]:
        waiting.add(future)
        future.add_done_callback(waiting.discard)
        return future

    try:
        yield track
    finally:
        for future in tuple(waiting):
            future.cancel()


def in_process() -> Workers:
    """This process, which computes one batch at a time."""

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        yield lambda points: _done(job, points)

    return Workers(label="this process", room=lambda: 1, start=start)


def _done(job: Job, points: Sequence[Any]) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(job(points))
    return future


def in_processes(count: int) -> Workers:
    """``count`` processes of this machine; they end when the caller ends, even if it is killed.

    Raises:
        SweepError: If ``count`` is less than 1.
    """
    if count < 1:
        raise SweepError(f"--workers {count} leaves nobody to work; give 1 or more")

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        # Not forked: the caller may have threads and engines that do not survive a fork.
        context = multiprocessing.get_context("spawn")
        worker_end, caller_end = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin, initargs=(worker_end, pickle.dumps(job))
        )
        try:
            yield lambda points: pool.submit(_work, points)
            pool.shutdown()
        finally:
            caller_end.close()
            pool.shutdown(cancel_futures=True)
            worker_end.close()

    return Workers(label=f"{count} processes", room=lambda: _BATCHES_PER_WORKER * count, start=start)


_job: Job | None = None
"""The job of a worker process."""


def _begin(pipe: Connection, job: bytes) -> None:
    """Set up a worker process."""
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C and closes the pipe
    threading.Thread(target=_exit_when_closed, args=(pipe,), daemon=True).start()
    _job = pickle.loads(job)


def _exit_when_closed(pipe: Connection) -> None:
    """End this process as soon as the caller closes its end of the pipe or dies."""
    try:
        pipe.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _work(points: Sequence[Any]) -> Any:
    assert _job is not None
    return _job(points)


@contextmanager
def on_dask(address: str) -> Iterator[Workers]:
    """The workers of a Dask cluster, for as long as the context lasts.

    They need the same version of hetsim. The option ``--nthreads`` of a worker sets how many batches it runs at once.
    If a worker dies, the scheduler gives its batches to other workers, at most three times.

    Args:
        address: Address of the scheduler, such as ``tcp://host:8786``.

    Raises:
        SweepError: If dask.distributed is not installed, the scheduler does not answer in time, or its connection is
            lost.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise SweepError(
            "--dask needs dask.distributed, which comes with the extra: pip install 'hetsim[dask]'"
        ) from None
    _check_scheduler(address)
    with _quiet("distributed.client"), Client(address, timeout=ANSWER_S, set_as_default=False) as client:
        executor = client.get_executor(pure=False)

        @contextmanager
        def start(job: Job) -> Iterator[Submit]:
            # A task rather than scattered data: the scheduler can repeat it if every worker that has the job died.
            sent = client.submit(pickle.loads, pickle.dumps(job), pure=False)
            with _cancelled_at_end() as track:
                yield lambda points: track(executor.submit(_run, sent, points))

        try:
            yield Workers(
                label=f"the Dask cluster at {address}",
                room=lambda: _BATCHES_PER_WORKER * sum(client.nthreads().values()),
                start=start,
                lost=(KilledWorker,),
            )
        except (CancelledError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:  # an error of a file, not of the network
                raise
            raise SweepError(
                f"the Dask scheduler at {address} went away; what was computed is saved, the same command resumes"
            ) from None


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Silence a logger of a library, whose tracebacks repeat an error that hetsim reports in one line."""
    found = logging.getLogger(logger)
    before = found.level
    found.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        found.setLevel(before)


def _run(job: Job, points: Sequence[Any]) -> Any:
    return job(points)


def _check_scheduler(address: str) -> None:
    """Raise unless a Dask scheduler answers in time; a Dask client would wait for ever if another program listens."""
    from distributed import Security
    from distributed.core import rpc

    async def identity() -> dict[str, Any]:
        arguments = Security().get_connection_args("client")
        async with rpc(address, timeout=ANSWER_S, connection_args=arguments) as scheduler:
            found: dict[str, Any] = await scheduler.identity()
            return found

    async def within_time() -> dict[str, Any]:
        return await asyncio.wait_for(identity(), ANSWER_S)

    try:
        found = asyncio.run(within_time())
    except OSError:  # timeouts included
        raise SweepError(
            f"no Dask scheduler answers at {address!r} within {ANSWER_S:g} s; start one with: dask scheduler"
        ) from None
    except Exception as error:  # other programs may answer anything, and addresses may be malformed
        reason = str(error).partition("\n")[0]
        raise SweepError(f"no Dask scheduler at {address!r}: {reason}; start one with: dask scheduler") from None
    if found.get("type") != "Scheduler":
        raise SweepError(f"{address!r} is a Dask {found.get('type')}, not a scheduler; give the scheduler's address")


@contextmanager
def workers_for(num_workers: int | None, dask: str | None) -> Iterator[Workers]:
    """The workers that ``--workers`` and ``--dask`` ask for; this process if neither is given.

    Raises:
        SweepError: If both are given, the number of workers is less than 1, or the cluster cannot be used.
    """
    if num_workers is not None and dask is not None:
        raise SweepError("give either --workers or --dask, not both")
    if dask is not None:
        with on_dask(dask) as workers:
            yield workers
    else:
        yield in_process() if num_workers is None else in_processes(num_workers)
