"""Problem files: what each key means, by hand; round trips; and one line that names the item for every mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.errors import ProblemError
from hetsim.core.load import Load
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.io.files import MAX_BYTES
from hetsim.io.problem_file import load_problem, parse_problem, save_problem
from hetsim.scheduler.segments import queues_from_assignment
from hetsim.sim.simulate import makespan_s, simulate
from tests.support.problems import assignments, charged, graph_of, plan_of, platform_of, problem_of, problems

FORK: dict[str, Any] = {
    "devices": ["cpu", "npu"],
    "ops": {"a": {"cpu": 1.0, "npu": 0.5}, "b": {"cpu": 2.0}, "c": {"cpu": 4, "npu": 1.0}, "d": {"cpu": 0.5}},
    "edges": [["a", "b", 1000], ["a", "c", 2000], ["b", "d", 0], ["c", "d", 3000]],
    "links": {
        "cpu->npu": {"setup_s": 0.25, "bandwidth_bytes_per_s": 1000.0},
        "npu->cpu": {"setup_s": 0.125, "bandwidth_bytes_per_s": 1000},
    },
}


def parsed(content: object = None, **changes: object) -> Problem:
    return parse_problem(json.dumps({**FORK, **changes} if content is None else content).encode(), source="x.json")


@pytest.mark.equation("arrive")
def test_a_tensor_arrives_after_setup_and_bytes_over_bandwidth() -> None:
    problem = parsed()
    assert problem.graph.name == "x"
    assert [op.name for op in problem.graph.ops] == ["a", "b", "c", "d"]
    plan = plan_of(problem.graph, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
    # a ends at 1, its 2000 bytes are there at 1 + .25 + 2; c ends at 4.25, its 3000 bytes are there at 4.25 + 3.125.
    assert makespan_s(problem, plan) == 4.25 + 3.125 + 0.5


@pytest.mark.parametrize(("mode", "second_s"), [("zero-copy", 3.25), ("copy", 4.5)])
@pytest.mark.equation("transfer")
def test_links_by_mode(mode: str, second_s: float) -> None:
    # a ends at 1 and hands 1000 bytes to b, 2000 to c, both of which take no time: 1.25 and 2.25 s, side by side where
    # nothing moves, and copies one after the other.
    problem = parsed(
        ops={"a": {"cpu": 1.0}, "b": {"npu": 0.0}, "c": {"npu": 0.0}},
        edges=[["a", "b", 1000], ["a", "c", 2000]],
        links={"cpu->npu": {"setup_s": 0.25, "bandwidth_bytes_per_s": 1000, "mode": mode}},
    )
    plan = plan_of(problem.graph, ("cpu", "a"), ("npu", "b"), ("npu", "c"))
    assert makespan_s(problem, plan) == second_s


@pytest.mark.parametrize(
    ("edges", "num_copies"), [([["a", "b", 8], ["a", "c", 8]], 2), ([["a", "b", 8, "t"], ["a", "c", 8, "t"]], 1)]
)
def test_edges_are_tensors_of_their_own_unless_they_share_a_name(edges: list[object], num_copies: int) -> None:
    problem = parsed(
        ops={"a": {"cpu": 1.0}, "b": {"npu": 0.0}, "c": {"npu": 0.0}},
        edges=edges,
        links={"cpu->npu": {"bandwidth_bytes_per_s": 8, "mode": "copy"}},
    )
    timeline = simulate(problem, plan_of(problem.graph, ("cpu", "a"), ("npu", "b"), ("npu", "c")))
    assert sum(span.kind == "hand-over" for span in timeline.spans) == num_copies
    assert timeline.makespan_s == 1 + num_copies


def test_segments_cost_their_group_or_the_sum_of_their_operators() -> None:
    groups = [{"ops": ["c", "a"], "cost_s": {"cpu": 3.5, "npu": None}}]
    problem = parsed(groups=groups)
    assert problem.cost_s("cpu", ("a", "c")) == 3.5  # in the graph's order, however the file lists them
    assert problem.latency("cpu", ("a", "c")).measured
    assert problem.latency("npu", ("a", "c")) is None
    assert problem.cost_s("cpu", ("a", "b", "c")) == 7.0
    assert not problem.latency("cpu", ("a", "b", "c")).measured
    assert problem.latency("cpu", ("a",)).measured
    assert problem.latency("npu", ("a", "b")) is None


def test_operators_come_in_the_order_of_the_file_as_far_as_edges_allow() -> None:
    ops = {name: {"cpu": 1.0} for name in "dcba"}
    assert [op.name for op in parsed(ops=ops, edges=[["a", "d", 1]]).graph.ops] == ["c", "b", "a", "d"]
    assert [op.name for op in parsed(ops=ops, edges=[]).graph.ops] == ["d", "c", "b", "a"]


def test_traffic_memory_and_host_reach_the_model() -> None:
    # Two operators of 1 s that move 10 bytes each share 10 bytes per second: both take 2 s. The host adds 1 + 2 s.
    problem = parsed(
        ops={"a": {"cpu": 1.0}, "b": {"npu": 1.0}},
        edges=[],
        traffic_bytes={"a": {"cpu": 10}, "b": {"npu": 10}},
        memory={"shared_bytes_per_s": 10},
        host={"submit_setup_s": 1.0, "collect_setup_s": 2.0},
    )
    plan = plan_of(problem.graph, ("cpu", "a"), ("npu", "b"))
    assert makespan_s(problem, plan) == 2.0
    timeline = simulate(problem, plan, load=Load(num_requests=2, every_s=0.0))
    assert timeline.ends_s == (3.0, 3.0 + 2.0 + 1.0 + 2.0)


@pytest.mark.equation("access")
def test_shared_tensors_cost_their_readers_and_their_maker() -> None:
    # a takes 1 + 0.5 s and its tensors are there at once; b reads its own for 0.25 s longer beside c, for 2 s longer.
    problem = parsed(
        edges=[["a", "b", 1, "t"], ["a", "c", 1, "t"], ["b", "d", 1], ["c", "d", 1]],
        links={},
        sharing_s={"a": {"cpu": [0.25, 0.5], "npu": [2.0, 4.0]}},
    )
    plan = plan_of(problem.graph, ("cpu", "a"), ("cpu", "b"), ("npu", "c"), ("cpu", "d"))
    assert problem.sharing is not None
    assert list(problem.segment_times_s(plan.segments).values()) == [1.5, 2.25, 0.5, 3.0]
    assert makespan_s(problem, plan) == 1.5 + 3.0 + 0.5
    assert parsed().sharing is None


def test_devices_are_hypothetical_and_of_a_kind_by_their_names() -> None:
    problem = parsed(devices=["cpu", "npu", "GPU1", "dsp"])
    assert [device.kind for device in problem.platform.devices] == ["cpu", "npu", "gpu", "npu"]
    assert problem.platform.devices[0].label == "cpu (hypothetical)"


@given(problem=st.one_of(problems(), charged(problems())), data=st.data())
def test_a_problem_survives_its_file(
    problem: Problem, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Only the sum of operators is written, so the launches that fusing saves are written as groups.
    queues = queues_from_assignment(problem.graph, *data.draw(assignments(problem)))
    plan = Plan(model="tiny", queues=queues)
    fused = [(s.device, s.ops) for s in plan.segments if len(s.ops) > 1 and problem.latency(s.device, s.ops)]
    path = tmp_path_factory.mktemp("problem") / "p.json"
    save_problem(problem, path, groups=fused)
    again = load_problem(path)
    assert [op.name for op in again.graph.ops] == [op.name for op in problem.graph.ops]
    assert again.graph.predecessors == problem.graph.predecessors
    if all(problem.latency(s.device, s.ops) for s in plan.segments):
        assert makespan_s(again, plan) == makespan_s(problem, plan)
    before = path.read_bytes()
    save_problem(again, path, groups=fused)
    assert path.read_bytes() == before


MISTAKES = {
    "not JSON": ("{", r"malformed: Expecting property name"),
    "not an object": ([], r"the file: Expected `object`, got `array`"),
    "no devices key": ({"ops": {}}, r"the file: Object missing required field `devices`"),
    "misspelt key": ({"device": ["cpu"]}, r"the file: Object contains unknown field `device`"),
    "no devices": ({"devices": []}, r"devices is empty; name at least one"),
    "no operators": ({"ops": {}, "edges": []}, r"ops is empty; there is nothing to plan"),
    "device twice": ({"devices": ["cpu", "npu", "cpu"]}, r"names a device twice: cpu, npu, cpu"),
    "device without a name": ({"devices": ["cpu", "npu", ""]}, r"device '' must have a name"),
    "device named like a link": ({"devices": ["cpu", "npu", "a->b"]}, r"device 'a->b' must have a name, without '->'"),
    "cost of an unknown device": (
        {"ops": {"a": {"tpu": 1}}, "edges": []},
        r"operator 'a' names device 'tpu'; devices are cpu, npu",
    ),
    "negative cost": (
        {"ops": {"a": {"cpu": -1}}, "edges": []},
        r"operator 'a' costs -1.0 s on 'cpu'; costs are finite",
    ),
    "cost that is NaN": ({"ops": {"a": {"cpu": float("nan")}}, "edges": []}, r"operator 'a' costs nan s on 'cpu'"),
    "infinite cost": ({"ops": {"a": {"cpu": float("inf")}}, "edges": []}, r"operator 'a' costs inf s on 'cpu'"),
    "cost beyond floats": ('{"devices": ["cpu"], "ops": {"a": {"cpu": 1e999}}}', r"operator 'a' costs inf s on 'cpu'"),
    "whole cost beyond floats": (
        '{"devices": ["cpu"], "ops": {"a": {"cpu": 1%s}}}' % ("0" * 400),
        r"costs of operator 'a'.*out of range",
    ),
    "cost of thousands of digits": (
        '{"devices": ["cpu"], "ops": {"a": {"cpu": 1%s}}}' % ("0" * 5000),
        r"malformed: .*4300",
    ),
    "sum beyond floats": (
        {"ops": {"a": {"cpu": 1e308}, "b": {"cpu": 1e308}}, "edges": []},
        r"sum to more than a float can hold",
    ),
    "cost that is a word": (
        {"ops": {"a": {"cpu": "fast"}}, "edges": []},
        r"costs of operator 'a'.*Expected `float`, got `str`",
    ),
    "cost that is true": (
        {"ops": {"a": {"cpu": True}}, "edges": []},
        r"costs of operator 'a'.*Expected `float`, got `bool`",
    ),
    "operator that runs nowhere": ({"ops": {"a": {}}, "edges": []}, r"no device can run operator 'a'"),
    "unknown operator in an edge": (
        {"edges": [["a", "z", 1]]},
        r"edge 'a' -> 'z' names operator 'z', which ops does not have",
    ),
    "edge to itself": ({"edges": [["a", "a", 1]]}, r"edge 'a' -> 'a' leads back to the same operator"),
    "edge twice": ({"edges": [["a", "b", 1], ["a", "b", 2]]}, r"edge 'a' -> 'b' is there twice"),
    "tensor twice": ({"edges": [["a", "b", 1, "t"], ["a", "b", 1, "t"]]}, r"edge 'a' -> 'b' is there twice"),
    "tensor of two sizes": (
        {"edges": [["a", "b", 1, "t"], ["a", "c", 2, "t"]]},
        r"edge 'a' -> 'c' gives tensor 't' 2 bytes, another edge 1",
    ),
    "tensor of two makers": (
        {"edges": [["a", "b", 1, "t"], ["c", "d", 1, "t"]]},
        r"edge 'c' -> 'd' is tensor 't', which another operator makes",
    ),
    "negative bytes": ({"edges": [["a", "b", -4]]}, r"edge 'a' -> 'b' has -4 bytes"),
    "half a byte": ({"edges": [["a", "b", 0.5]]}, r"edge 'a' -> 'b' has 0.5 bytes; they are whole"),
    "bytes that are NaN": ({"edges": [["a", "b", float("nan")]]}, r"edge 'a' -> 'b' has nan bytes"),
    "too many bytes": ({"edges": [["a", "b", 10**40]]}, r"edge 'a' -> 'b' has 10+ bytes"),
    "edge of two": ({"edges": [["a", "b"]]}, r"edges\[0\]: Expected `array` of at least length 3, got 2"),
    "circle": (
        {"edges": [["a", "b", 1], ["b", "c", 1], ["c", "b", 1]]},
        r"the edges lead in a circle: 'b' -> 'c' -> 'b'",
    ),
    "link of an unknown device": (
        {"links": {"cpu->tpu": {}}},
        r"link 'cpu->tpu' names device 'tpu'; devices are cpu, npu",
    ),
    "link without an arrow": ({"links": {"cpu": {}}}, r"link 'cpu' must be named FROM->TO"),
    "link to itself": ({"links": {"cpu->cpu": {}}}, r"cpu->cpu.* leads back to the same device"),
    "negative set-up": ({"links": {"cpu->npu": {"setup_s": -1}}}, r"cpu->npu.*setup_s must be a finite number"),
    "no bandwidth": (
        {"links": {"cpu->npu": {"bandwidth_bytes_per_s": 0}}},
        r"cpu->npu.*bandwidth_bytes_per_s must be more than 0",
    ),
    "bandwidth that makes hand-overs endless": (
        {"links": {"cpu->npu": {"bandwidth_bytes_per_s": 5e-324}}},
        r"link 'cpu->npu' takes inf s for 3000 bytes",
    ),
    "misspelt field of a link": ({"links": {"cpu->npu": {"setup": 1}}}, r"link 'cpu->npu'.*unknown field `setup`"),
    "group of an unknown operator": (
        {"groups": [{"ops": ["a", "z"], "cost_s": {"cpu": 1}}]},
        r"group a, z names operator 'z'",
    ),
    "negative group": ({"groups": [{"ops": ["a", "b"], "cost_s": {"cpu": -1}}]}, r"group a, b costs -1.0 s on 'cpu'"),
    "group twice": (
        {"groups": [{"ops": o, "cost_s": {"cpu": 1}} for o in (["a", "b"], ["b", "a"])]},
        r"group b, a is there twice for 'cpu'",
    ),
    "group of none": ({"groups": [{"ops": [], "cost_s": {}}]}, r"has no operators"),
    "traffic of an unknown operator": ({"traffic_bytes": {"z": {}}}, r"traffic_bytes names operator 'z'"),
    "negative traffic": ({"traffic_bytes": {"a": {"cpu": -1}}}, r"traffic_bytes of 'a' on 'cpu' has -1 bytes"),
    "sharing of an unknown operator": ({"sharing_s": {"z": {}}}, r"sharing_s names operator 'z'"),
    "sharing on an unknown device": (
        {"sharing_s": {"a": {"tpu": [0, 0]}}},
        r"sharing_s of 'a' names device 'tpu'; devices are cpu, npu",
    ),
    "negative sharing": (
        {"sharing_s": {"a": {"cpu": [0, -1]}}},
        r"sharing_s of 'a' on 'cpu' must be two finite numbers, 0 or more",
    ),
    "sharing that is NaN": (
        {"sharing_s": {"a": {"cpu": [float("nan"), 0]}}},
        r"sharing_s of 'a' on 'cpu' must be two finite numbers",
    ),
    "sharing of one number": (
        {"sharing_s": {"a": {"cpu": [1]}}},
        r"sharing_s of 'a'.*Expected `array` of length 2, got 1",
    ),
    "sum with sharing beyond floats": (
        {"sharing_s": {"a": {"cpu": [1e308, 1e308]}, "b": {"cpu": [1e308, 1e308]}}},
        r"sum to more than a float can hold",
    ),
    "key twice": ('{"devices": ["cpu"], "ops": {"a": {"cpu": 1}, "a": {"cpu": 2}}}', r"key 'a' is there twice"),
    "nested without end": ("[" * 100_000, r"malformed: nested too deeply"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_is_one_line_that_names_the_item(name: str) -> None:
    given, message = MISTAKES[name]
    if isinstance(given, dict) and name != "no devices key":
        given = {**FORK, **given}
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(ProblemError, match=message) as error:
        parse_problem(text.encode(), source="x.json")
    assert str(error.value).startswith("problem x.json: ")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"cannot read problem .*no.json: No such file"):
        load_problem(tmp_path / "no.json")
    with pytest.raises(ProblemError, match=r"cannot read problem .*: Is a directory"):
        load_problem(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"name": "\xe9"}')
    with pytest.raises(ProblemError, match="malformed"):
        load_problem(tmp_path / "latin.json")
    with open(tmp_path / "huge.json", "wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole on disk
    with pytest.raises(ProblemError, match=re.escape("it has more than 64 MiB, the most that is read")):
        load_problem(tmp_path / "huge.json")


def test_operators_may_have_arrows_in_their_names() -> None:
    edges = [["a", "b->c", 10], ["a->b", "c", 20]]
    graph = parsed(ops={op: {"cpu": 1} for op in ("a", "b->c", "a->b", "c")}, edges=edges).graph
    assert {op: graph.predecessors[op] for op in ("b->c", "c")} == {"b->c": ("a",), "c": ("a->b",)}
    assert sorted(graph.tensors[t].num_bytes for t in graph.tensors) == [10, 20]


@pytest.mark.parametrize("edges", [[["a", "b", 5], ["a", "c", 7, "a->b"]], [["a", "c", 7, "a->b"], ["a", "b", 5]]])
def test_an_edge_without_a_name_is_a_tensor_of_its_own(edges: list[list[object]]) -> None:
    graph = parsed(ops={op: {"cpu": 1} for op in "abc"}, edges=edges).graph
    read_bytes = {op: [graph.tensors[tensor].num_bytes for tensor in graph.by_name[op].inputs] for op in "bc"}
    assert read_bytes == {"b": [5], "c": [7]}
    assert graph.by_name["c"].inputs == ("a->b",)


def test_a_saved_problem_leaves_out_what_is_as_by_default(tmp_path: Path) -> None:
    graph = graph_of({"a": (), "b": ("a",), "c": ("a",)}, num_bytes={"a": 5})
    save_problem(problem_of(graph, {op: {"cpu": 1.0} for op in "abc"}, platform_of("cpu")), tmp_path / "p.json")
    assert json.loads((tmp_path / "p.json").read_text()) == {
        "name": "tiny",
        "devices": ["cpu"],
        "ops": {op: {"cpu": 1.0} for op in "abc"},
        "edges": [["a", "b", 5, "a.out"], ["a", "c", 5, "a.out"]],
    }
