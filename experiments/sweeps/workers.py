"""Where the points of a sweep are computed: here, in processes of this machine, or on a Dask cluster.

Whatever computes is an executor of ``concurrent.futures``. What is to be done with every point, the job, reaches a
worker once; after that, points alone travel.
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
"""How long a scheduler has to answer."""
_MAX_OPEN = 2
"""Batches under way for each worker: one at work, one that waits, so that no worker waits for the caller."""

Job = Callable[[Sequence[Any]], Any]
"""What is done with a batch of points. It is pickled, and sent to each worker once."""

Submit = Callable[[Sequence[Any]], "Future[Any]"]
"""Hands a batch of points to the workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Whoever computes points.

    Attributes:
        label: For people.
        room: How many batches should be under way now; 0 while there is no worker.
        start: Readies the workers for a job, until the context ends. Work that is still under way then is given up.
        lost: What a batch's future raises if its worker died. After a ``BrokenExecutor`` they are started again.
    """

    label: str
    room: Callable[[], int]
    start: Callable[[Job], AbstractContextManager[Submit]]
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)


def on_executor(executor: Executor, num_workers: int, *, label: str = "an executor") -> Workers:
    """The workers of any executor of ``concurrent.futures``, which the caller starts and ends.

    The job travels with each batch, since nothing else can be done with every executor.

    Args:
        executor: The executor.
        num_workers: How many batches it runs at once.
        label: For people.
    """

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        with _given_up() as track:
            yield lambda points: track(executor.submit(job, points))

    return Workers(label=label, room=lambda: _MAX_OPEN * num_workers, start=start)


@contextmanager
def _given_up() -> Iterator[Callable[[Future[Any]], Future[Any]]]:
    """A function to pass futures through; what has not ended with the context is cancelled."""
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
    """This very process, which computes one batch at a time."""

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        yield lambda points: _done(job, points)

    return Workers(label="this process", room=lambda: 1, start=start)


def _done(job: Job, points: Sequence[Any]) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(job(points))
    return future


def in_processes(count: int) -> Workers:
    """So many processes of this machine; they end with the caller, however that ends.

    Raises:
        SweepError: If there are to be none.
    """
    if count < 1:
        raise SweepError(f"--workers {count} leaves nobody to work; give 1 or more")

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        # Not forked: the caller may have threads, and engines that do not survive it.
        context = multiprocessing.get_context("spawn")
        held, leash = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(held, pickle.dumps(job)))
        try:
            yield lambda points: pool.submit(_work, points)
            pool.shutdown()
        finally:
            leash.close()
            pool.shutdown(cancel_futures=True)
            held.close()

    return Workers(label=f"{count} processes", room=lambda: _MAX_OPEN * count, start=start)


_job: Job | None = None
"""In a worker process, what it does with points."""


def _begin(leash: Connection, job: bytes) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle; it lets the leash go
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    _job = pickle.loads(job)


def _end_with(leash: Connection) -> None:
    """End this process as soon as the other end of the leash is closed: by the caller, or by its death."""
    try:
        leash.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _work(points: Sequence[Any]) -> Any:
    assert _job is not None
    return _job(points)


@contextmanager
def on_dask(address: str) -> Iterator[Workers]:
    """The workers of a Dask cluster, for as long as the context lasts.

    They need the same hetsim. Whether a worker runs several batches at once is its own affair (``--nthreads``). When
    one dies the scheduler gives its batches to others, three times at most.

    Args:
        address: Of the scheduler, such as ``tcp://host:8786``.

    Raises:
        SweepError: If dask.distributed is not installed, the scheduler does not answer within 10 seconds, or it goes
            away in between.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError:
        raise SweepError(
            "--dask needs dask.distributed, which comes with the extra: pip install 'hetsim[dask]'"
        ) from None
    _ask(address)
    with _quiet("distributed.client"), Client(address, timeout=ANSWER_S, set_as_default=False) as client:
        executor = client.get_executor(pure=False)

        @contextmanager
        def start(job: Job) -> Iterator[Submit]:
            # A task and not scattered data: the scheduler can have it done again where every worker that held it died.
            held = client.submit(pickle.loads, pickle.dumps(job), pure=False)
            with _given_up() as track:
                yield lambda points: track(executor.submit(_run, held, points))

        try:
            yield Workers(
                label=f"the Dask cluster at {address}",
                room=lambda: _MAX_OPEN * sum(client.nthreads().values()),
                start=start,
                lost=(KilledWorker,),
            )
        except (CancelledError, OSError) as error:
            if isinstance(error, OSError) and error.filename is not None:  # a file, and not the network
                raise
            raise SweepError(
                f"the Dask scheduler at {address} went away; what was computed is saved, the same command goes on"
            ) from None


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep a library from printing tracebacks of what is about to be said in one line."""
    found = logging.getLogger(logger)
    before = found.level
    found.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        found.setLevel(before)


def _run(job: Job, points: Sequence[Any]) -> Any:
    return job(points)


def _ask(address: str) -> None:
    """Find out whether a Dask scheduler answers; the client itself would wait for ever where something else listens."""
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
    except OSError:  # among them whatever ran out of time, here or on the way
        raise SweepError(
            f"no Dask scheduler answers at {address!r} within {ANSWER_S:g} s; start one with: dask scheduler"
        ) from None
    except Exception as error:  # whatever else listens there may answer anything, and an address may be anything
        description = str(error).partition("\n")[0]
        raise SweepError(f"no Dask scheduler at {address!r}: {description}; start one with: dask scheduler") from None
    if found.get("type") != "Scheduler":
        raise SweepError(f"{address!r} is a Dask {found.get('type')}, not a scheduler; give the scheduler's address")


@contextmanager
def workers_for(num_workers: int | None, dask: str | None) -> Iterator[Workers]:
    """What ``--workers`` and ``--dask`` stand for: this process, if neither is given.

    Raises:
        SweepError: If both are given, or what is given cannot be had.
    """
    if num_workers is not None and dask is not None:
        raise SweepError("give either --workers or --dask, not both")
    if dask is not None:
        with on_dask(dask) as workers:
            yield workers
    else:
        yield in_process() if num_workers is None else in_processes(num_workers)
