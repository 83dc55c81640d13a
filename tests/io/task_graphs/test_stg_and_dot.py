"""Task graphs of the Standard Task Graph Set and in Graphviz DOT as problems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hetsim.core.errors import ProblemError
from hetsim.core.platform import Link
from hetsim.core.problem import Problem
from hetsim.io.task_graphs.load import load_task_graph
from hetsim.sim.simulate import makespan_s
from tests.support.planning.task_graphs import DOT, STG
from tests.support.problems import plan_of

SPEEDS = {"cpu": 1.0, "npu": 2.0}


def loaded(content: bytes | str, suffix: str, folder: Path, **options: Any) -> Problem:
    path = folder / f"graph{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_task_graph(path, **{"speeds": SPEEDS, **options})


def split_s(problem: Problem) -> float:
    """The makespan with the third task on the npu, all others on the cpu."""
    first, second, third, last = problem.graph.by_name
    return makespan_s(problem, plan_of(problem.graph, ("cpu", first), ("cpu", second), ("npu", third), ("cpu", last)))


@pytest.mark.parametrize(("content", "expected_s"), list(zip(STG, (6.5, 8.5, 8.5), strict=True)))
def test_task_graphs_of_the_set_by_hand(content: bytes, expected_s: float, tmp_path: Path) -> None:
    problem = loaded(content, ".stg", tmp_path)
    assert problem.graph.name == "graph"
    assert dict(problem.graph.predecessors) == {"1": (), "2": ("1",), "3": ("1",), "4": ("2", "3")}
    assert (problem.cost_s("cpu", ("4",)), problem.cost_s("npu", ("4",))) == (1.5, 0.75)
    # 2 + max(3, hand-over of 1 + 4 / 2 + hand-over of 2) + 1.5; hand-overs take no time without costs.
    assert split_s(problem) == pytest.approx(expected_s)


def test_a_dot_graph_by_hand(tmp_path: Path) -> None:
    problem = loaded(DOT[0], ".gv", tmp_path)
    assert problem.graph.name == "a graph"
    assert dict(problem.graph.predecessors) == {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert split_s(problem) == pytest.approx(8.5)


def test_costs_by_device(tmp_path: Path) -> None:
    problem = loaded(DOT[1], ".dot", tmp_path, speeds={"cpu": 1.0, "npu": 1.0})
    assert [problem.devices_for((task,)) for task in "abcd"] == [("cpu", "npu"), ("cpu",), ("npu",), ("cpu", "npu")]
    assert problem.cost_s("npu", ("d",)) == 0.75
    assert split_s(problem) == pytest.approx(2 + 3 + 1.5)


def test_units_and_links(tmp_path: Path) -> None:
    in_ms = loaded(STG[1], ".stg", tmp_path, unit_s=1e-3)
    assert split_s(in_ms) == pytest.approx(8.5e-3)
    with_setup = loaded(STG[1], ".stg", tmp_path, link=Link(setup_s=0.25))
    assert split_s(with_setup) == pytest.approx(9.0)
    as_bytes = loaded(STG[1], ".stg", tmp_path, link=Link(bandwidth_bytes_per_s=2.0))
    assert split_s(as_bytes) == pytest.approx(2 + 0.5 + 2 + 1 + 1.5)
    fractions = loaded("digraph { a [time=1] b [time=1] a -> b [time=0.125] }", ".dot", tmp_path)
    assert fractions.transfer_s("cpu", "npu", "a->b") == pytest.approx(0.125)


def test_chains_scopes_and_names_of_dot(tmp_path: Path) -> None:
    text = """/* c */ digraph {
# a line for a preprocessor
      edge [cost=1]
      "a " + "1" [cost=2]; node [cost=3]
      subgraph { node [cost=4] x -> y } -> -1.5 [cost=5]
      z; "q\\"" -> z
    }"""
    problem = loaded(text, ".dot", tmp_path, link=Link(bandwidth_bytes_per_s=1.0))
    graph = problem.graph
    assert {op.name: problem.cost_s("cpu", (op.name,)) for op in graph.ops} == {
        "a 1": 2.0, "x": 4.0, "y": 4.0, "-1.5": 3.0, "z": 3.0, 'q"': 3.0,
    }  # fmt: skip
    assert dict(graph.predecessors) == {
        "a 1": (), "x": (), "y": ("x",), "-1.5": ("x", "y"), 'q"': (), "z": ('q"',),
    }  # fmt: skip
    assert [graph.tensors[name].num_bytes for name in ("x->y", "x->-1.5", "y->-1.5", 'q"->z')] == [1, 5, 5, 1]


def test_attributes_may_be_named_and_others_are_skipped(tmp_path: Path) -> None:
    text = "digraph { a [cost=1, flops=7] b [cost=2, flops=8] a -> b [weight=3, megabytes=4] }"
    problem = loaded(text, ".dot", tmp_path, task_cost="Flops", edge_cost="megabytes")
    assert problem.cost_s("cpu", ("b",)) == 8.0
    assert problem.transfer_s("cpu", "npu", "a->b") == 4.0


STG_MISTAKES = {
    "empty": ("\n# nothing\n", r"line 1: the file has no numbers; expected the number of tasks"),
    "header": ("a\n", r"line 1: the number of tasks is 'a'; expected a whole number"),
    "long header": ("1 2 3\n", r"line 1: 3 numbers; expected that of tasks"),
    "no rows": ("1\n", r"line 1: the file ends here; expected a line for each task"),
    "cut short": ("2\n1 5 0\n2 5\n", r"line 3: 2 numbers; expected a task's number, its time, and how many"),
    "cut to fewer": ("3\n1 5 0\n2 5 1 1\n", r"line 1: 3 tasks are announced, but 2 follow"),
    "too many": ("1\n1 5 0\n2 5 1 1\n", r"line 1: 1 tasks are announced, but 2 follow; .*exit task of no time"),
    "time": ("1\n\n1 -5 0\n", r"line 3: the time of task 1 is '-5'; expected a finite number, 0 or more"),
    "endless time": ("1\n1 1e999 0\n", r"line 2: the time of task 1 is '1e999'; expected a finite number"),
    "twice": ("2\n1 5 0\n1 5 0\n", r"line 3: task 1 is on line 2 already"),
    "count": ("2\n1 5 0\n2 5 3 1 1\n", r"line 3: 2 numbers follow the number of predecessors, 3; expected 3, or 6"),
    "predecessors of none": ("1\n1 5 0 4\n", r"line 2: 1 numbers follow the number of predecessors, 0; expected none"),
    "unknown": ("2\n1 5 0\n2 5 1 7\n", r"line 3: task 2 has predecessor 7, which is no task of the file"),
    "same twice": ("2\n1 5 0\n2 5 2 1 1\n", r"line 3: task 2 has predecessor 1 twice"),
    "circle": ("2\n1 5 1 2\n2 5 1 1\n", r"line 2: the edges lead in a circle, '2' -> '1' -> '2'; expected none"),
    "itself": ("1\n1 5 1 1\n", r"line 2: edge '1' -> '1' leads back to its task"),
    "mixed": ("3\n1 5 0\n2 5 1 1\n3 5 1 1 9\n", r"line 4: task 3 has predecessors with costs; .* above have pred"),
    "pairs cut": ("2\n1 5 0\n2 5 1\n", r"line 3: task 2 has 1 predecessors, but 0 follow before the file ends"),
    "cost": ("2\n1 5 0\n2 5 1 1 x\n", r"line 3: the cost of edge 1 -> 2 is 'x'; expected a finite number"),
    "long fraction": ("2\n1 5 0\n2 5 1 1 0.1234567890123\n", r"line 3: cost 0\.1234567890123 has more than 12 decimal"),
    "huge": ("2\n1 5 0\n2 5 1 1 1e30\n", r"line 3: cost 1E\+30 is more than 2\*\*53"),
}  # fmt: skip


@pytest.mark.parametrize("name", STG_MISTAKES)
def test_mistakes_in_stg_are_one_line(name: str, tmp_path: Path) -> None:
    refused(*STG_MISTAKES[name], ".stg", tmp_path)


DOT_MISTAKES = {
    "no directions": ("\ngraph { a -- b }", r"line 2: the graph has no directions; expected 'digraph'"),
    "other arrow": ("digraph { a -- b }", r"line 1: '--' in a directed graph; expected '->'"),
    "another format": ('{"name": 1}', r"line 1: found '\{'; expected 'digraph'"),
    "cut short": ("digraph {\n a [cost=1]\n", r"line 3: found the end of the file; expected '}'"),
    "cut in a value": ("digraph {\n a [cost=", r"line 2: found the end of the file; expected the value of 'cost'"),
    "two graphs": ("digraph { a [cost=1] }\ndigraph {}", r"line 2: found 'digraph'; expected the end of the file"),
    "open quote": ('digraph {\n "a }', r"line 2: a quote that nothing closes"),
    "open comment": ("digraph { /* }", r"line 1: a comment that nothing closes"),
    "open markup": ("digraph { a [label=<<b>] }", r"line 1: a '<' that nothing closes; expected '>'"),
    "unknown sign": ("digraph {\n a @ b }", r"line 2: '@'; expected a name, a number or a symbol"),
    "nested": ("digraph " + "{" * 102, r"line 1: subgraphs are nested deeper than 100"),
    "empty": ("digraph {}", r"line 1: the graph has no nodes; expected tasks"),
    "no cost": ("digraph {\n a [cost=1]\n b }", r"line 3: task 'b' has no cost; expected attribute 'cost', one called"),
    "no costs": ("digraph { a -> b }", r"line 1: task 'a' has no cost; .* one of cost, weight, time, size"),
    "which cost": ("digraph { a [cost=1 weight=2] }", r"line 1: tasks have attributes cost and weight; .*--task-cost"),
    "cost": ("digraph {\n a [cost=heavy] }", r"line 2: the cost of task 'a' is 'heavy'; expected a finite number"),
    "edge cost": ("digraph {a [cost=1]\n b [cost=1] a -> b [cost=-1]}", r"line 2: the cost of edge 'a' -> 'b' is '-1'"),
    "some edges": (
        "digraph { node [cost=1]; a -> b [cost=1]\n b -> c }",
        r"line 2: edge 'b' -> 'c' has no attribute 'cost'; expected one on each edge or on none",
    ),
    "twice": ("digraph { node [cost=1]; a -> b\n a -> b }", r"line 2: edge 'a' -> 'b' is on line 1 already"),
    "circle": ("digraph { node [cost=1]; a -> b\n b -> a }", r"line \d: the edges lead in a circle, 'a' -> 'b' -> 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOT_MISTAKES)
def test_mistakes_in_dot_are_one_line(name: str, tmp_path: Path) -> None:
    refused(*DOT_MISTAKES[name], ".dot", tmp_path)


def refused(content: bytes | str, message: str, suffix: str, folder: Path) -> None:
    with pytest.raises(ProblemError, match=message) as error:
        loaded(content, suffix, folder)
    assert str(error.value).startswith(f"task graph {folder / f'graph{suffix}'}: line ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit_s": 0.0}, r"a unit of 0\.0 s was asked for; it is finite and more than 0"),
        ({"file_format": "xml"}, r"no format 'xml'; choose from wfcommons, stg, dot"),
        ({"task_cost": "x"}, r"attributes were named, but only the format dot has some"),
        (
            {"file_format": "wfcommons", "unit_s": 2.0},
            r"a unit of time was given, but .* wfcommons has seconds",
        ),
        ({"link": Link(bandwidth_bytes_per_s=1.0)}, r"line 3: cost 0\.5 is a number of bytes; expected a whole one"),
    ],
)
def test_options_that_do_not_fit(options: Mapping[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=message):
        loaded("2\n1 5 0\n2 5 1 1 0.5\n", ".stg", tmp_path, **options)


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    refused(b"2\n1 5 0\n2 \xff\n", r"line 3: byte 0xff is no text; expected UTF-8", ".stg", tmp_path)
    with pytest.raises(ProblemError, match=r"cannot read task graph .*: No such file"):
        load_task_graph(tmp_path / "absent.stg", speeds=SPEEDS)
