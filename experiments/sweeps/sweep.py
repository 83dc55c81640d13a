"""Sweeps: one function at many points, on one processor or on many machines, saved as it goes.

Points are handed out in batches that take about half a second, so that cheap points are not outweighed by the handing
out and dear ones go singly; how long points take is learned on the way. Each batch's results are in the file before the
next are waited for. A worker that dies costs its batches' time and nothing else: their points are handed out again, one
at a time with nothing beside them, so that a point that kills workers is told from those that were there by chance.
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
_TICK_S = 1.0
"""How often the workers are counted while no result comes."""
_ALONE_S = 30.0
"""How long a sweep waits without a single worker."""

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
    """What ``function`` gives at each point, in the points' order; equal points are computed once.

    Results pass through JSON whether they come from a worker or from the file, so they are the same either way. An
    infinite number does not survive that; None does.

    Args:
        function: Of an importable module (not of ``__main__``), or one bound with ``functools.partial``: workers get it
            once, with all that is bound to it, so a profile or a table belongs there and not into the points.
        points: Frozen dataclasses, or anything else that pickle and msgspec can encode.
        result_type: What it gives, for msgspec.
        workers: Who computes; None stands for this process.
        path: The file that results are written to; one that is there is gone on with. None writes nothing.
        settings: What results rest on beside the point: seeds, digests of what is bound. Stored in the file's header.
        retries: How often a point is tried again after its worker died.
        report: Told the part that is done of what was missing, and how many points are there.

    Raises:
        SweepError: If the file holds another sweep, a point's worker died too often, or no worker is left.
        HetsimError: If the function raised one; the point is named, and what came before it is saved.
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
    """The function as results name it, under any number of ``functools.partial``."""
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
    """What a batch of points gave.

    Attributes:
        results: In JSON, of the points before the first failure.
        seconds: What they took.
        description: What the next point failed with, if one did; a traceback unless it was a mistake of the user's.
        is_mistake: Whether it was.
    """

    results: tuple[bytes, ...]
    seconds: float
    description: str = ""
    is_mistake: bool = False


@dataclass(frozen=True, slots=True)
class _Job(Generic[PointT, ResultT]):
    """What a worker does with a batch of points."""

    function: Callable[[PointT], ResultT]
    result_type: type[ResultT]

    def __call__(self, points: Sequence[PointT]) -> _Batch:
        start_s = time.monotonic()
        results: list[bytes] = []
        description, is_mistake = "", False
        try:
            for point in points:
                encoded = msgspec.json.encode(self.function(point))
                msgspec.json.decode(encoded, type=self.result_type)  # here, where the point is known, if it must fail
                results.append(encoded)
        except HetsimError as error:
            description, is_mistake = str(error), True
        except Exception:
            description = traceback.format_exc()
        return _Batch(tuple(results), time.monotonic() - start_s, description, is_mistake)


class _Work(Generic[PointT]):
    """Points on their way through the workers."""

    def __init__(self, job: _Job[PointT, Any], points: Mapping[bytes, PointT], workers: Workers, retries: int) -> None:
        self._job = job
        self._points = points
        self._workers = workers
        self._retries = retries
        self._fresh = deque(points)
        self._suspects: deque[bytes] = deque()
        self._deaths: Counter[bytes] = Counter()
        self._under_way: dict[Future[Any], list[bytes]] = {}
        self._point_s = _BATCH_S  # what a point takes, as far as is known
        self._alone_since_s = time.monotonic()

    def results(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Points and results as they arrive, in JSON, a batch at a time."""
        while self._fresh or self._suspects:
            with self._workers.start(self._job) as submit:
                yield from self._until_broken(submit)

    def _until_broken(self, submit: Submit) -> Iterator[list[tuple[bytes, bytes]]]:
        broken = False
        while self._under_way or (not broken and (self._fresh or self._suspects)):
            broken = broken or not self._hand_out(submit)
            if not self._under_way:  # there is no worker
                time.sleep(_TICK_S)
            done, _ = wait(self._under_way, timeout=_TICK_S, return_when=FIRST_COMPLETED)
            for future in done:
                keys = self._under_way.pop(future)
                try:
                    batch = future.result()
                except self._workers.lost as error:
                    broken = broken or isinstance(error, BrokenExecutor)
                    self._suspect(keys)
                    continue
                except (ImportError, AttributeError) as error:  # the function's own are in the batch
                    raise SweepError(
                        f"{self._workers.label} cannot import what it is to do: {error}; it needs this hetsim, too"
                    ) from None
                yield list(zip(keys, batch.results, strict=False))
                self._learn(keys, batch)

    def _hand_out(self, submit: Submit) -> bool:
        """Fill the workers' room; False if they have to be started again."""
        room = self._workers.room()
        self._notice_absence(room)
        while self._fresh or self._suspects:
            if len(self._under_way) >= (1 if self._suspects else room):
                break
            if self._suspects:
                keys = [self._suspects.popleft()]
            else:
                fair = -(-len(self._fresh) // max(room, 1))
                size = min(fair, max(1, int(_BATCH_S / max(self._point_s, 1e-9))))
                keys = [self._fresh.popleft() for _ in range(size)]
            try:
                future = submit([self._points[key] for key in keys])
            except BrokenExecutor:
                self._fresh.extendleft(reversed(keys))
                return False
            self._under_way[future] = keys
        return True

    def _learn(self, keys: Sequence[bytes], batch: _Batch) -> None:
        """Take a batch's pace, or raise what one of its points raised."""
        if batch.description:
            failed = self._points[keys[len(batch.results)]]
            if batch.is_mistake:
                raise HetsimError(f"{failed}: {batch.description}")
            raise RuntimeError(f"{failed} failed on {self._workers.label}:\n{batch.description}")
        self._point_s = batch.seconds / len(keys)

    def _suspect(self, keys: Sequence[bytes]) -> None:
        self._suspects.extend(keys)
        self._deaths.update(keys)
        for key in keys:
            if self._deaths[key] > self._retries:
                raise SweepError(
                    f"a worker of {self._workers.label} died {self._deaths[key]} times with {self._points[key]} under "
                    "way; what was computed is saved. Does the point need more memory than there is?"
                )

    def _notice_absence(self, room: int) -> None:
        """Raise if there has been no worker for long."""
        now_s = time.monotonic()
        if room:
            self._alone_since_s = now_s
        elif now_s - self._alone_since_s > _ALONE_S:
            raise SweepError(
                f"{self._workers.label} has had no worker for {_ALONE_S:g} s; what was computed is saved. Start some "
                "with: dask worker ADDRESS, then give the same command again"
            )
