"""Throughput on random task graphs at tiny size, with a stand-in for SAGA that puts every task on one node."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.throughput_scheduling.instances import instances
from experiments.throughput_scheduling.peers import SCHEDULERS
from experiments.throughput_scheduling.study import FREE_LINKS, ThroughputLine, compare, summary
from hetsim.core.errors import HetsimError
from hetsim.scheduler.baselines.single_device import single_device
from hetsim.scheduler.throughput.loads import loads
from tests.support.experiments import table
from tests.support.pictures import Pictures

GRAPHS, MAX_OPS = 12, 14
"""One graph of each kind."""


@pytest.fixture
def saga(tmp_path: Path) -> Path:
    """A program that answers as SAGA would that puts every task on the ``cpu``."""
    answers = [
        {
            name: {
                "node_of": dict.fromkeys(each.work, "cpu"),
                "throughput_per_s": each.speeds["cpu"] / sum(each.work.values()),
            }
            for name in SCHEDULERS
        }
        for each in instances(GRAPHS, seed=3, max_ops=MAX_OPS)
    ]
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/request.json\ncat {tmp_path}/answers.json\n")
    program.chmod(0o755)
    return program


@pytest.mark.slow
def test_mixtures_stand_beside_single_devices_saga_and_bounds(saga: Path, tmp_path: Path, pictures: Pictures) -> None:
    out = tmp_path / "out"
    lines = compare(out, graphs=GRAPHS, max_ops=MAX_OPS, saga=saga, seed=3)
    assert compare(out, graphs=GRAPHS, max_ops=MAX_OPS, saga=saga, seed=3) == lines  # nothing is planned again
    assert list(table(out / "throughput_scheduling.csv")[0])[:5] == [
        "problem",
        "num_ops",
        "num_devices",
        "costs",
        "links",
    ]
    assert {(line.num_devices, line.costs, line.links) for line in lines} == {
        (num, costs, links)
        for num in (2, 3, 4)
        for costs in ("related", "unrelated")
        for links in (FREE_LINKS, "copies")
    }
    for line, instance in zip(lines, instances(GRAPHS, seed=3, max_ops=MAX_OPS), strict=True):
        assert line.single_per_s < line.side_by_side_per_s <= line.mixture_per_s * (1 + 1e-9)
        assert line.mixture_per_s <= line.bound_per_s
        assert line.gap <= 0.02
        problem = instance.problem
        cpu_per_s = 1 / loads(problem, single_device(problem, "cpu")).max()
        assert line.peers_per_s == pytest.approx((cpu_per_s, cpu_per_s))
        if line.means_the_same:
            assert all(own == pytest.approx(per_s) for per_s, own in line.both_definitions)
        if line.costs == "related":  # each device is as fast on all operators, so nothing beats whole graphs
            assert line.mixture_per_s == pytest.approx(line.side_by_side_per_s)
    assert "behind 0 of 24" in summary(lines)[-2]
    (axes,) = pictures.axes(out / "throughput_scheduling.png")
    assert axes.x_label == "relative to the bound"
    request = json.loads((tmp_path / "request.json").read_text())
    assert [each["name"] for each in request] == [line.problem for line in lines]


def test_who_is_behind_is_counted() -> None:
    line = ThroughputLine(
        problem="p", num_ops=1, num_devices=2, costs="related", links=FREE_LINKS, single_per_s=1.0,
        side_by_side_per_s=2.0, mixture_per_s=3.0, bound_per_s=4.0, num_plans=1, planning_s=0.1,
        maxtp_per_s=3.1, maxtp_own_per_s=3.1, mt_per_s=2.0, mt_own_per_s=1.0,
    )  # fmt: skip
    texts = summary([line])
    assert "gap 25.00% on average" in texts[-2]
    assert "behind 1 of 2" in texts[-2]
    assert texts[-1] == "where both mean the same, SAGA's own throughput differs by 5.0e-01 at most"
    without = replace(line, maxtp_per_s=None, maxtp_own_per_s=None, mt_per_s=None, mt_own_per_s=None)
    assert "SAGA" not in " ".join(summary([without]))


def test_saga_that_cannot_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HetsimError, match="cannot be started: No such file"):
        compare(tmp_path / "out", graphs=1, saga=tmp_path / "python")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ModuleNotFoundError: no saga' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(HetsimError, match=r"failed: ModuleNotFoundError: no saga; it needs Python 3\.12"):
        compare(tmp_path / "out", graphs=1, saga=broken)
