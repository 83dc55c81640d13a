"""Plans as files: what is written is read back, and what is malformed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetsim.core.dataflow import resolve
from hetsim.core.errors import PlanError
from hetsim.core.plan import Plan
from hetsim.core.problem import Problem
from hetsim.io.plan_file import load_plan, save_plan
from hetsim.scheduler.segments import queues_from_assignment
from tests.support.problems import assignments, problems


@given(problem=problems(), data=st.data())
def test_a_file_brings_back_the_same_plan_and_the_steps_could_run_one_by_one(
    problem: Problem, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    queues = queues_from_assignment(problem.graph, *data.draw(assignments(problem)))
    plan = Plan(model="tiny", model_hash="cafe", scheduler="hand", queues=queues)
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    save_plan(plan, path)
    assert load_plan(path) == plan
    for i, step in enumerate(resolve(problem.graph, plan).steps):
        assert all(other < i for other in step.waits_for)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read plan .*plan.json: No such file.*hetsim plan MODEL"),
        ("", "plan.json is malformed"),
        ("[]", "malformed: Expected `object`"),
        ('{"devices": {}}', "missing required field `model`"),
        ('{"model": "m", "speed": 2}', "unknown field `speed`"),
        ('{"model": "m", "format": 99}', "has format 99, this version reads format 1; make it anew with: hetsim plan"),
        ('{"model": "m", "devices": {"cpu": [{"ops": [1]}]}}', "Expected `str`, got `int`"),
        ('{"model": "m", "devices": {"cpu": [{"ops": []}]}}', "segment without operators on 'cpu'; remove it"),
    ],
)
def test_malformed_files_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PlanError, match=message):
        load_plan(path)
