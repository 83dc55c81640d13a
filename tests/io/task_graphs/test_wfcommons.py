"""WfCommons workflows as problems, in both shapes of the format."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hetsim.core.errors import ProblemError
from hetsim.core.platform import Link
from hetsim.core.problem import Problem
from hetsim.io.task_graphs.wfcommons import load_workflow
from hetsim.sim.simulate import makespan_s
from tests.support.planning.task_graphs import WORKFLOW, older_workflow
from tests.support.problems import plan_of


def converted(content: object, folder: Path, **options: Any) -> Problem:
    path = folder / "flow.json"
    path.write_text(json.dumps(content))
    return load_workflow(path, **{"speeds": {"cpu": 1.0, "npu": 2.0}, **options})


@pytest.mark.parametrize("shape", [copy.deepcopy, older_workflow])
def test_a_workflow_by_hand(shape: Callable[[Any], Any], tmp_path: Path) -> None:
    link = Link(setup_s=0.5, bandwidth_bytes_per_s=1000.0)
    problem = converted(shape(WORKFLOW), tmp_path, link=link)
    assert problem.graph.name == "word count"
    assert dict(problem.graph.predecessors) == {
        "split_1": (), "count_1": ("split_1",), "count_2": ("split_1",),
        "sum_1": ("count_1", "count_2"), "report_1": ("sum_1",),
    }  # fmt: skip
    assert (problem.cost_s("cpu", ("count_2",)), problem.cost_s("npu", ("count_2",))) == (6.0, 3.0)
    plan = plan_of(
        problem.graph, ("cpu", "split_1"), ("cpu", "count_1"), ("npu", "count_2"), ("cpu", "sum_1"), ("npu", "report_1")
    )
    # part_2 arrives at 1 + .5 + 5, so count_2 ends at 9.5; number_2 arrives at 10.004; report waits for no bytes.
    assert makespan_s(problem, plan) == pytest.approx(9.5 + 0.504 + 2 + 0.5 + 0.25)


def test_files_travel_for_nothing_unless_a_link_is_given(tmp_path: Path) -> None:
    problem = converted(WORKFLOW, tmp_path)
    assert problem.transfer_s("cpu", "npu", "part_2") == 0.0


def test_a_dependency_may_be_declared_at_either_end_or_by_a_file_alone(tmp_path: Path) -> None:
    flow = copy.deepcopy(WORKFLOW)
    tasks = flow["workflow"]["specification"]["tasks"]
    tasks[1]["parents"] = []  # split still names it as its child
    tasks[3]["children"] = []  # report still names sum as its parent
    tasks[3]["parents"] = ["count_1"]
    tasks[2]["children"] = []  # nobody says that sum waits for count_2, but it reads its file
    assert converted(flow, tmp_path).graph.predecessors == converted(WORKFLOW, tmp_path).graph.predecessors


def test_of_a_file_that_is_written_again_the_parents_version_is_read(tmp_path: Path) -> None:
    flow = copy.deepcopy(WORKFLOW)
    tasks = flow["workflow"]["specification"]["tasks"]
    tasks[3]["outputFiles"] = ["total", "number_1"]
    tasks[4] |= {"inputFiles": ["number_1"]}
    graph = converted(flow, tmp_path).graph
    assert graph.by_name["sum_1"].inputs == ("count_1:number_1", "number_2")
    assert graph.by_name["report_1"].inputs == ("sum_1:number_1",)


def change(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def apply(flow: dict[str, Any]) -> None:
        for key in path[:-1]:
            flow = flow[key]
        flow[path[-1]] = to

    return apply


TASK, RUN = ("workflow", "specification", "tasks"), ("workflow", "execution", "tasks")
MISTAKES = {
    "unknown version": (
        change("schemaVersion", to="2.0"),
        r"schema version '2.0' is not supported; supported are 1.3, 1.4, 1.5, 1.6",
    ),
    "no version": (lambda flow: flow.pop("schemaVersion"), r"missing required field `schemaVersion`"),
    "no workflow": (lambda flow: flow.pop("workflow"), r"missing required field `workflow`"),
    "neither shape": (change("workflow", to={}), r"neither a specification nor tasks"),
    "no execution": (lambda flow: flow["workflow"].pop("execution"), r"workflow.execution is missing"),
    "task without a runtime": (change(*RUN, to=[]), r"workflow.execution has no task 'split_1'"),
    "negative runtime": (change(*RUN, 1, "runtimeInSeconds", to=-1), r"task 'count_1' took -1.0 s"),
    "runtime that is NaN": (change(*RUN, 1, "runtimeInSeconds", to=float("nan")), r"task 'count_1' took nan s"),
    "runtime that is a word": (
        change(*RUN, 1, "runtimeInSeconds", to="1"),
        r"execution.tasks\[1\].runtimeInSeconds: Expected `float`",
    ),
    "task executed twice": (
        change(*RUN, 1, "id", to="split_1"),
        r"workflow.execution has task 'split_1' more than once, with 1.0 s and 4.0 s; keep the execution that counts",
    ),
    "task twice": (change(*TASK, 1, "id", to="split_1"), r"task 'split_1' is there twice"),
    "unknown parent": (change(*TASK, 1, "parents", to=["x"]), r"task 'count_1' names 'x' as parent or child"),
    "unknown file": (
        change(*TASK, 1, "inputFiles", to=["x"]),
        r"task 'count_1' names file 'x', whose size is not given",
    ),
    "negative size": (
        change("workflow", "specification", "files", 1, "sizeInBytes", to=-1),
        r"edge 'split_1' -> 'count_1' has -1 bytes",
    ),
    "circle": (change(*TASK, 0, "parents", to=["report_1"]), r"circle: 'split_1' -> .* -> 'split_1'"),
    "ambiguous file": (
        lambda flow: (
            change(*TASK, 1, "outputFiles", to=["number_1", "total"])(flow),
            change(*TASK, 4, "inputFiles", to=["total"])(flow),
            change(*TASK, 4, "parents", to=["count_2"])(flow),
            change(*TASK, 3, "children", to=[])(flow),
        ),
        r"task 'report_1' reads 'total', which several tasks write, none of them its parent",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_not_understood_is_one_line(name: str, tmp_path: Path) -> None:
    spoil, message = MISTAKES[name]
    flow = copy.deepcopy(WORKFLOW)
    spoil(flow)
    with pytest.raises(ProblemError, match=message) as error:
        converted(flow, tmp_path)
    assert str(error.value).startswith(f"workflow {tmp_path / 'flow.json'}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"runtime": None}, "task 'a' has no runtime"),
        ({"files": [{"name": "f", "link": "input"}]}, "file 'f' of task 'a' has no size"),
        (
            {"files": [{"name": "f", "link": "both", "size": 1}]},
            "file 'f' of task 'a' has link 'both', not input or output",
        ),
    ],
)
def test_mistakes_in_older_versions(field: dict[str, Any], message: str, tmp_path: Path) -> None:
    flow = {"schemaVersion": "1.4", "workflow": {"tasks": [{"name": "a", "runtime": 1.0, **field}]}}
    with pytest.raises(ProblemError, match=message):
        converted(flow, tmp_path)


OLD_PAIR: list[dict[str, Any]] = [
    {"name": "make", "id": "ID1", "runtime": 2.0, "files": [{"name": "o", "link": "output", "size": 3}]},
    {"name": "use", "id": "ID2", "runtime": 1.0, "files": [{"name": "o", "link": "input", "size": 3}]},
]


def old_pair(first: dict[str, Any], second: dict[str, Any], folder: Path) -> Problem:
    tasks = [{**OLD_PAIR[0], **first}, {**OLD_PAIR[1], **second}]
    return converted({"schemaVersion": "1.4", "workflow": {"tasks": tasks}}, folder)


@pytest.mark.parametrize(
    ("first", "second"),
    [({}, {"parents": ["ID1"]}), ({"children": ["ID2"]}, {}), ({"children": ["use"]}, {"parents": ["ID1"]})],
)
def test_in_older_versions_tasks_refer_to_each_other_by_name_or_id(
    first: dict[str, Any], second: dict[str, Any], tmp_path: Path
) -> None:
    graph = old_pair(first, second, tmp_path).graph
    assert dict(graph.predecessors) == {"make": (), "use": ("make",)}
    assert graph.by_name["use"].inputs == ("o",)


def test_tasks_with_one_name_are_called_by_their_ids(tmp_path: Path) -> None:
    graph = old_pair({"name": "step"}, {"name": "step", "parents": ["ID1"]}, tmp_path).graph
    assert dict(graph.predecessors) == {"ID1": (), "ID2": ("ID1",)}


def test_a_reference_to_the_name_of_one_task_and_the_id_of_another_is_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="task 'use' names 'use' as parent or child, which is the name or id of 2"):
        old_pair({"id": "use"}, {"parents": ["use"]}, tmp_path)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_speeds_are_positive(speed: float, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"device 'npu' has speed .*; speeds are finite and more than 0"):
        converted(WORKFLOW, tmp_path, speeds={"cpu": 1.0, "npu": speed})
