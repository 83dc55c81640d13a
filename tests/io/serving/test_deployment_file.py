"""Deployments as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hetsim.core.errors import PlanError
from hetsim.core.serving.deployment import Deployment, Instance
from hetsim.io.serving.deployment_file import load_deployment, save_deployment
from tests.support.problems import graph_of, plan_of

CHAIN = graph_of({"a": (), "b": ("a",)})
WHOLE, BOTH = plan_of(CHAIN, ("cpu", "a b")), plan_of(CHAIN, ("cpu", "a"), ("npu", "b"))
DEPLOYMENT = Deployment(
    instances=(Instance(plan=WHOLE), Instance(plan=BOTH, num_slots=3)), dispatch="round_robin", cycle=(0, 1, 1)
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    save_deployment(DEPLOYMENT, tmp_path / "deployment.json", every_s=0.25)
    assert load_deployment(tmp_path / "deployment.json") == (DEPLOYMENT, 0.25)
    assert {path.name for path in tmp_path.iterdir()} == {
        "deployment.json",
        "deployment-1.json",
        "deployment-2.json",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"format": 1', '"format": 7', "has format 7, this version reads format 1"),
        ('"round_robin"', '"whoever"', "malformed"),
        ('"num_slots": 3', '"num_slots": 0', "at least 1 is needed"),
        ("deployment-2.json", "missing.json", "cannot read plan"),
        ('"cycle"', '"circle"', "malformed"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "deployment.json"
    save_deployment(DEPLOYMENT, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(PlanError, match=message):
        load_deployment(path)


def test_a_deployment_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="make one with: hetsim tune MODEL --objective throughput"):
        load_deployment(tmp_path / "deployment.json")
