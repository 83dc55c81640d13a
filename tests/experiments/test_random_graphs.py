"""Random layered graphs: what their docstring promises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.shared.random_graphs import SETUP_S, layered_problem


@given(num_ops=st.integers(1, 60), seed=st.integers(0, 99), num_devices=st.integers(1, 4))
def test_layered_problems_are_what_they_say(num_ops: int, seed: int, num_devices: int) -> None:
    problem = layered_problem(num_ops, seed=seed, num_devices=num_devices)
    graph, names = problem.graph, problem.platform.device_names
    assert len(graph.ops) == num_ops
    assert len(names) == num_devices
    depth: dict[str, int] = {}
    for op in graph.ops:
        before = graph.predecessors[op.name]
        assert 0 <= len(before) <= 3
        depth[op.name] = max((depth[other] + 1 for other in before), default=0)
        assert all(depth[op.name] - depth[other] <= 3 for other in before)
        assert all(1e-3 <= problem.cost_s(name, (op.name,)) <= 10e-3 for name in names)
    assert max(depth.values()) + 1 == round(num_ops**0.5)
    assert {problem.transfer_s(a, b, "op0.out") for a in names for b in names if a != b} <= {SETUP_S}


def test_the_same_seed_gives_the_same_problem_and_contention_changes_its_traffic_alone() -> None:
    plain, contended, other = (
        layered_problem(50, seed=seed, contention=contention) for seed, contention in ((3, 0.0), (3, 1.5), (4, 0.0))
    )
    assert plain.graph == contended.graph != other.graph
    for op in plain.graph.ops:
        for name in ("cpu", "npu"):
            assert plain.cost_s(name, (op.name,)) == contended.cost_s(name, (op.name,))
            assert plain.traffic_bytes(name, (op.name,)) == 0 < contended.traffic_bytes(name, (op.name,))
    # In the mean over costs uniform in 1 to 10 ms and traffic uniform in 1 to 7 MB a device demands 1.023 GB/s.
    assert contended.platform.memory.shared_bytes_per_s == pytest.approx(2 * 1.0234e9 / 1.5, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_ops": 0}, "num_ops must be >= 1, got 0"),
        ({"num_ops": 1, "num_devices": 0}, "num_devices must be >= 1, got 0"),
        ({"num_ops": 1, "contention": -1.0}, "contention must be >= 0, got -1.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layered_problem(seed=0, **arguments)  # type: ignore[arg-type]
