"""Sweeps give all results in order, whatever dies, and can be resumed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from experiments.sweep_survival import Machine, planned, survive
from experiments.sweeps.sweep import sweep
from experiments.sweeps.workers import Job, Submit, Workers, in_processes, on_dask, on_executor, workers_for
from hetsim.core.errors import HetsimError, SweepError
from tests.support.sweep_points import Point, Value, called, deadly, endless, picky, product

POINTS = [Point(row, column) for row in range(20) for column in range(20)]
ROOT = Path(__file__).resolve().parents[2]


def check(values: list[Value], points: list[Point] = POINTS) -> None:
    """A result for each point, in the points' order, to the last digit."""
    assert [value.product_s for value in values] == [point.row * point.column / 3 for point in points]


def test_results_come_in_the_order_of_the_points_and_equal_points_once(tmp_path: Path) -> None:
    points = [Point(2, 3), Point(1, 1), Point(2, 3), Point(0, 4)]
    check(sweep(partial(product, tmp_path / "calls"), points, Value), points)
    assert called(tmp_path / "calls") == {Point(2, 3): 1, Point(1, 1): 1, Point(0, 4): 1}


def test_a_resumed_sweep_computes_what_is_missing_alone(tmp_path: Path) -> None:
    function, path = partial(product, tmp_path / "calls"), tmp_path / "results.jsonl"
    said: list[tuple[float, str]] = []
    first = sweep(function, POINTS[:100], Value, path=path, settings={"seed": 1})
    again = sweep(function, POINTS, Value, path=path, settings={"seed": 1}, report=lambda *report: said.append(report))
    check(again)
    assert again[:100] == first  # the process number too, because results were read, not computed
    assert said[-1] == (1.0, "400 of 400 points")
    assert sweep(function, POINTS, Value, path=path, settings={"seed": 1}) == again
    assert called(tmp_path / "calls") == dict.fromkeys(POINTS, 1)


def test_a_file_cut_anywhere_in_its_last_line_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    sweep(partial(product, tmp_path / "calls"), POINTS[:3], Value, path=path)
    content = path.read_bytes()
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start, len(content)):
        path.write_bytes(content[:end])
        check(sweep(partial(product, tmp_path / "more"), POINTS[:3], Value, path=path), POINTS[:3])
        assert called(tmp_path / "more") == {POINTS[2]: 1}
        (tmp_path / "more").unlink()


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (None, {"seed": 2}, "holds results for seed 1, this run asks for 2; choose another file"),
        (None, {"seed": 1, "device": "npu"}, "holds results for device None, this run asks for 'npu'"),
        (b"a letter\n", {}, "does not begin as a sweep's results do"),
        (b"a letter", {}, "does not begin as a sweep's results do"),
        (b'{"sweep":"other.f","settings":{},"format":1}\n', {}, "holds results for sweep 'other.f', this run asks for"),
        (b'{"sweep":"other.f","settings":{},"format":9}\n', {}, "holds results for format 9"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, content: bytes | None, settings: dict[str, object], message: str
) -> None:
    function, path = partial(product, tmp_path / "calls"), tmp_path / "results.jsonl"
    if content is None:
        sweep(function, POINTS[:1], Value, path=path, settings={"seed": 1})
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(SweepError, match=message):
        sweep(function, POINTS, Value, path=path, settings=settings)
    assert path.read_bytes() == before


def test_a_line_that_is_malformed_is_named(tmp_path: Path) -> None:
    function, path = partial(product, tmp_path / "calls"), tmp_path / "results.jsonl"
    sweep(function, POINTS[:2], Value, path=path)
    path.write_bytes(path.read_bytes().replace(b'"column":1', b'"column":,'))
    with pytest.raises(SweepError, match="line 3 is malformed"):
        sweep(function, POINTS, Value, path=path)


def test_what_a_point_fails_with_names_the_point_and_keeps_what_came_before(tmp_path: Path) -> None:
    function, path = partial(picky, tmp_path / "calls"), tmp_path / "results.jsonl"
    with pytest.raises(HetsimError, match=r"Point\(row=2, column=5\): no device can run it"):
        sweep(function, POINTS, Value, path=path)
    assert path.read_text().count('"result"') == 45  # two rows of 20, and 5 of the third
    with pytest.raises(RuntimeError, match=r"(?s)Point\(row=2, column=7\) failed on this process.*a defect"):
        sweep(function, POINTS[46:], Value, path=path)


def test_what_json_cannot_hold_is_noticed_at_its_point_and_results_of_another_kind_at_once(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)Point\(row=1, column=1\) failed on this process.*ValidationError"):
        sweep(endless, POINTS, Value)
    path = tmp_path / "results.jsonl"
    sweep(partial(product, tmp_path / "calls"), POINTS[:2], Value, path=path)
    with pytest.raises(SweepError, match="holds results of another kind: Object missing required field `row`"):
        sweep(partial(product, tmp_path / "calls"), POINTS, Point, path=path)  # type: ignore[arg-type]
    assert sum(called(tmp_path / "calls").values()) == 2


def test_any_executor_will_do(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as executor:
        check(sweep(partial(product, tmp_path / "calls"), POINTS, Value, workers=on_executor(executor, 3)))
    assert called(tmp_path / "calls") == dict.fromkeys(POINTS, 1)


def test_a_function_that_workers_could_not_import_is_refused() -> None:
    with pytest.raises(ValueError, match="workers cannot import"):
        sweep(lambda point: point, POINTS, Point)


def test_a_point_that_kills_its_worker_is_tried_again_and_then_named(tmp_path: Path) -> None:
    function, path = partial(deadly, tmp_path / "calls", 2), tmp_path / "results.jsonl"
    with pytest.raises(SweepError, match=r"died 2 times with Point\(row=3, column=3\) under way"):
        sweep(function, POINTS, Value, workers=in_processes(2), path=path, retries=1)
    assert called(tmp_path / "calls")[Point(3, 3)] == 2
    check(sweep(function, POINTS, Value, path=path))  # the point kills no more


def test_a_pool_that_breaks_is_started_again_with_nothing_lost(tmp_path: Path) -> None:
    starts: list[list[int]] = []  # by pool, the sizes of its batches

    @contextmanager
    def start(job: Job) -> Iterator[Submit]:
        sizes: list[int] = []
        starts.append(sizes)
        under_way: list[tuple[Future[Any], Sequence[Any]]] = []

        def submit(points: Sequence[Any]) -> Future[Any]:
            if len(starts) < 3 and len(sizes) == 3:  # the first two pools break after three batches
                for future, _ in under_way:
                    future.set_exception(BrokenExecutor())
                under_way.clear()
                raise BrokenExecutor
            sizes.append(len(points))
            under_way.append((Future(), points))
            future = under_way[-1][0]
            if len(starts) == 3:
                future.set_result(job(points))
            elif len(under_way) == 2:
                first, given = under_way.pop(0)
                first.set_result(job(given))
            return future

        yield submit

    workers = Workers(label="a pool", room=lambda: 4, start=start)
    path = tmp_path / "results.jsonl"
    check(sweep(partial(product, tmp_path / "calls"), POINTS, Value, workers=workers, path=path))
    assert called(tmp_path / "calls") == dict.fromkeys(POINTS, 1)
    assert len(starts) == 3
    assert path.read_text().count('"result"') == len(POINTS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_killed_leaves_a_file_to_go_on_with_and_no_process(tmp_path: Path, number: int) -> None:
    calls, path = tmp_path / "calls", tmp_path / "results.jsonl"
    code = (
        "import sys; from functools import partial; from pathlib import Path\n"
        "from tests.support.sweep_points import Point, Value, product\n"
        "from experiments.sweeps.sweep import sweep\n"
        "from experiments.sweeps.workers import in_processes\n"
        "if __name__ == '__main__':\n"
        "    calls, path = map(Path, sys.argv[1:])\n"
        "    points = [Point(row, column) for row in range(20) for column in range(20)]\n"
        "    sweep(partial(product, calls, seconds=0.02), points, Value, workers=in_processes(2), path=path)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script), str(calls), str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (path.exists() and b'"result"' in path.read_bytes()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count("Traceback") == (number == signal.SIGINT)  # the caller's own, and none of a worker's
    num_saved = path.read_text().count('"result"')
    assert 0 < num_saved < len(POINTS)
    before = called(calls)
    time.sleep(0.1)
    assert called(calls) == before  # no worker continues
    calls.unlink()
    check(sweep(partial(product, calls), POINTS, Value, path=path))
    assert sum(called(calls).values()) == len(POINTS) - num_saved


def test_a_sweep_on_a_dask_cluster_survives_a_dead_worker_and_its_own_end(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    found = survive(tmp_path, side=16)
    assert found.num_lost == 0
    assert 0 < found.num_saved < found.num_points == len(found.lines) == 256
    assert found.num_before >= found.num_saved
    assert found.num_after == found.num_points - found.num_saved
    assert found.num_again == 0
    assert found.num_processes >= 2
    here = planned(tmp_path / "here", 0, Machine(found.lines[37].npu_speed, found.lines[37].bandwidth))
    assert (here.heft_s, here.cpu_s, here.npu_s) == (lambda x: (x.heft_s, x.cpu_s, x.npu_s))(found.lines[37])
    with pytest.raises(SweepError, match="holds a sweep already"):
        survive(tmp_path, side=16)


@contextmanager
def something_else() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_scheduler_that_does_not_answer_is_said_within_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from experiments.sweeps import workers

    assert workers.ANSWER_S < 10
    monkeypatch.setattr(workers, "ANSWER_S", 0.3)
    with something_else() as mute:
        for address in ("127.0.0.1:1", mute):
            message = rf"no Dask scheduler answers at '{address}' within 0.3 s"
            with pytest.raises(SweepError, match=message), on_dask(address):
                pass
    for address in ("nonsense", "http://localhost:1"):
        message = rf"no Dask scheduler at '{address}': .*start one with: dask scheduler"
        with pytest.raises(SweepError, match=message), on_dask(address):
            pass


def test_workers_and_dask_exclude_each_other_and_nobody_is_too_few() -> None:
    with pytest.raises(SweepError, match="either --workers or --dask"), workers_for(2, "tcp://localhost:8786"):
        pass
    with pytest.raises(SweepError, match="--workers 0 leaves nobody"), workers_for(0, None):
        pass
