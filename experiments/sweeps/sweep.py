"""Sweeps: one function evaluated at many points, in one process or on many machines, with results saved as they arrive.

Points are submitted in batches that take about half a second. So submission costs little beside short points, and long
points go one by one; the sweep estimates the time of a point from the last batch. The results of each batch are written
to the file before the sweep waits for the next. If a worker dies, the points of its batches are submitted again, each
alone and with no other batch in flight: this singles out a point that kills workers.
"""

from __future__ import annotations

import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from experiments.sweeps.sweep_file import Header, SweepFile, key_of
from experiments.sweeps.workers import Submit, Workers, in_process
from hetsim.core.errors import HetsimError, SweepError
from hetsim.tuner.progress import Report

_BATCH_S = 0.5
"""Time that a batch should take."""
_TICK_S = 1.0
"""Interval at which the workers are counted while no result arrives."""
_MAX_WAIT_S = 30.0
"""The longest time that a sweep waits for a worker if there is none."""

PointT = TypeVar("PointT")
ResultT = TypeVar("ResultT")


def sweep(
    function: Callable[[PointT], ResultT],
    points: Iterable[PointT],
    result_type: type[ResultT],
    *,
    workers: Workers | None = None,
    path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    retries: int = 3,
    report: Report = lambda _done, _text: None,
) -> list[ResultT]:
    """The result of ``function`` at each point, in the order of the points; equal points are computed once.

    All results pass through JSON, so results from a worker and from the file are the same. JSON can hold None but no
    infinite number.

    Args:
        function: A function of an importable module (not of ``__main__``), which ``functools.partial`` may bind to
            arguments. Workers get it once, so large arguments such as profiles should be bound rather than be part of
            the points.
        points: Frozen dataclasses, or other values that pickle and msgspec can encode.
        result_type: The type of results, for msgspec.
        workers: Compute the results; None stands for this process.
        path: The file that results are written to; an existing one is resumed. None writes no file.
        settings: All that results depend on beside the point, such as seeds and digests of bound arguments. They are
            stored in the file's header.
        retries: How often a point is submitted again after its worker died.
        report: Receives the done part of the points that were missing, and the number of points that have results.

    Raises:
        SweepError: If the file holds another sweep, a point's worker died too often, or no worker is left.
        HetsimError: If the function raised one; the error names the point, and results before it are saved.
        ValueError: If workers could not import the function.
    """
    header = Header(sweep=_name(function), settings=dict(settings or {}))
    keyed = [(key_of(point), point) for point in points]
    by_key = dict(keyed)
    with nullcontext() if path is None else SweepFile(path, header) as file:
        found = {key: file.results[key] for key in by_key if key in file.results} if file else {}
        known = {key: _decoded(result, result_type, path) for key, result in found.items()}
        missing = [key for key in by_key if key not in found]
        num_known = len(found)
        if missing:
            job = _Job(function, result_type)
            work = _Work(job, {key: by_key[key] for key in missing}, workers or in_process(), retries)
            for results in work.results():
                if file:
                    file.add(results)
                found.update(results)
                report((len(found) - num_known) / len(missing), f"{len(found):,} of {len(by_key):,} points")
    known |= {key: msgspec.json.decode(found[key], type=result_type) for key in missing}
    return [known[key] for key, _ in keyed]


def _decoded(result: bytes, result_type: type[ResultT], path: Path | None) -> ResultT:
    try:
        return msgspec.json.decode(result, type=result_type)
    except msgspec.ValidationError as error:
        raise SweepError(f"{path} holds results of another kind: {error}; choose another file") from None


def _name(function: Callable[..., Any]) -> str:
    """The name of the function in files of results; any ``functools.partial`` around it is ignored."""
    while hasattr(function, "func"):
        function = function.func
    if function.__module__ == "__main__" or "<" in function.__qualname__:
        raise ValueError(
            f"workers cannot import {function.__qualname__!r} of {function.__module__}; a sweep takes a function at "
            "the top of an importable module"
        )
    return f"{function.__module__}.{function.__qualname__}"


@dataclass(frozen=True, slots=True)
class _Batch:
    """Results of a batch of points.

    Attributes:
        results: Results in JSON, of the points before the first failure.
        seconds: Time that the batch took.
        failure: Error text of the point after these, or ``""`` if no point failed. It is the message of a
            :class:`HetsimError`, else a traceback.
        is_hetsim_error: Whether the failure is a :class:`HetsimError`.
    """

    results: tuple[bytes, ...]
    seconds: float
    failure: str = ""
    is_hetsim_error: bool = False


@dataclass(frozen=True, slots=True)
class _Job(Generic[PointT, ResultT]):
    """What a worker does with a batch of points: it evaluates the function and encodes the results."""

    function: Callable[[PointT], ResultT]
    result_type: type[ResultT]

    def __call__(self, points: Sequence[PointT]) -> _Batch:
        start_s = time.monotonic()
        results: list[bytes] = []
        failure, is_hetsim_error = "", False
        try:
            for point in points:
                encoded = msgspec.json.encode(self.function(point))
                msgspec.json.decode(
                    encoded, type=self.result_type
                )  # a result that JSON cannot hold fails here, where the point is known
                results.append(encoded)
        except HetsimError as error:
            failure, is_hetsim_error = str(error), True
        except Exception:
            failure = traceback.format_exc()
        return _Batch(tuple(results), time.monotonic() - start_s, failure, is_hetsim_error)


class _Work(Generic[PointT]):
    """Points that have no result yet: those to submit, and those in flight at the workers."""

    def __init__(self, job: _Job[PointT, Any], points: Mapping[bytes, PointT], workers: Workers, retries: int) -> None:
        self._job = job
        self._points = points
        self._workers = workers
        self._retries = retries
        self._fresh = deque(points)
        self._suspects: deque[bytes] = deque()
        self._deaths: Counter[bytes] = Counter()
        self._in_flight: dict[Future[Any], list[bytes]] = {}
        self._point_s = _BATCH_S  # estimated time of a point
        self._last_seen_s = time.monotonic()  # when there was a worker last

    def results(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Pairs of a point and its result in JSON, as they arrive, a batch at a time."""
        while self._fresh or self._suspects:
            with self._workers.start(self._job) as submit:
                yield from self._until_broken(submit)

    def _until_broken(self, submit: Submit) -> Iterator[list[tuple[bytes, bytes]]]:
        """The same, until all points are done or the workers have to be started again."""
        broken = False
        while self._in_flight or (not broken and (self._fresh or self._suspects)):
            broken = broken or not self._submit(submit)
            if not self._in_flight:  # there is no worker
                time.sleep(_TICK_S)
            done, _ = wait(self._in_flight, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                keys = self._in_flight.pop(future)
                try:
                    batch = future.result()
                except self._workers.lost as error:
                    broken = broken or isinstance(error, BrokenExecutor)
                    self._suspect(keys)
                    continue
                except (ImportError, AttributeError) as error:  # errors of the function itself are in the batch
                    raise SweepError(
                        f"{self._workers.label} cannot import the function: {error}; install the same hetsim there"
                    ) from None
                yield list(zip(keys, batch.results, strict=False))
                self._learn(keys, batch)

    def _submit(self, submit: Submit) -> bool:
        """Submit as many batches as the workers have room for; False if the workers have to be started again."""
        room = self._workers.room()
        self._check_absence(room)
        while self._fresh or self._suspects:
            if len(self._in_flight) >= (1 if self._suspects else room):
                break
            if self._suspects:
                keys = [self._suspects.popleft()]
            else:
                equal_share = -(-len(self._fresh) // max(room, 1))
                size = min(equal_share, max(1, int(_BATCH_S / max(self._point_s, 1e-9))))
                keys = [self._fresh.popleft() for _ in range(size)]
            try:
                future = submit([self._points[key] for key in keys])
            except BrokenExecutor:
                self._fresh.extendleft(reversed(keys))
                return False
            self._in_flight[future] = keys
        return True

    def _learn(self, keys: Sequence[bytes], batch: _Batch) -> None:
        """Estimate the time of a point from a batch, or raise the error of its failed point."""
        if batch.failure:
            failed = self._points[keys[len(batch.results)]]
            if batch.is_hetsim_error:
                raise HetsimError(f"{failed}: {batch.failure}")
            raise RuntimeError(f"{failed} failed on {self._workers.label}:\n{batch.failure}")
        self._point_s = batch.seconds / len(keys)

    def _suspect(self, keys: Sequence[bytes]) -> None:
        """Submit the points of a dead worker's batch again, each alone; raise if a point lost too many workers."""
        self._suspects.extend(keys)
        self._deaths.update(keys)
        for key in keys:
            if self._deaths[key] > self._retries:
                raise SweepError(
                    f"a worker of {self._workers.label} died {self._deaths[key]} times with {self._points[key]} under "
                    "way; what was computed is saved. Does the point need more memory than there is?"
                )

    def _check_absence(self, room: int) -> None:
        """Raise if there has been no worker for too long."""
        now_s = time.monotonic()
        if room:
            self._last_seen_s = now_s
        elif now_s - self._last_seen_s > _MAX_WAIT_S:
            raise SweepError(
                f"{self._workers.label} has had no worker for {_MAX_WAIT_S:g} s; what was computed is saved. Start "
                "some with: dask worker ADDRESS, then give the same command again"
            )
