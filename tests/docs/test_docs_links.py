"""What the documentation names is there: files, tests, links; and its examples of files can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hetsim.costs.profile_file import parse_profile
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import parse_platform
from hetsim.io.problem_file import parse_problem
from hetsim.io.task_graphs.load import load_task_graph

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/**/*.md"))),
]


def heading_anchors(text: str) -> set[str]:
    """The anchors that a page's headings get, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.lower())) for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)", text):
        path, _, anchor = link.partition("#")
        if "://" not in link:
            target = (ROOT / page).parent / path if path else ROOT / page
            assert target.exists(), f"{page} leads to {link}, which is not there"
            assert not anchor or anchor in heading_anchors(target.read_text("utf-8")), f"{page}: no heading {link}"
    paths = re.findall(r"`((?:hetsim|scheduler|runtime|tuner|experiments|tests|docs|results)/[\w/+.-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    tests = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    assert [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests] == []


def examples(language: str) -> list[str]:
    text = (ROOT / "docs" / "formats.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_examples_of_files_can_be_read(tmp_path: Path) -> None:
    board, laptop, scenario = (parse_platform(text, source="formats.md") for text in examples("toml"))
    assert board.device_names == ("cpu", "npu0", "npu1")
    assert laptop.device("npu").target == "NPU"
    assert [device.name for device in scenario.hypothetical_devices] == ["sheet", "array", "vendor0", "vendor1"]
    problem, plan, split_plan = examples("json")
    assert len(parse_problem(problem.encode(), source="formats.md").graph.ops) == 4
    (tmp_path / "plan.json").write_text(plan, "utf-8")
    assert load_plan(tmp_path / "plan.json").num_segments == 3
    (tmp_path / "plan.json").write_text(split_plan, "utf-8")
    (split,) = load_plan(tmp_path / "plan.json").rewrites
    assert split.at == (4,)
    assert parse_profile(examples("jsonl")[0].encode(), source="formats.md").num_samples == 3
    task_graphs = {language: tmp_path / f"graph.{language}" for language in ("stg", "dot")}
    for language, path in task_graphs.items():
        path.write_text(*examples(language), "utf-8")
        assert len(load_task_graph(path, speeds={"cpu": 1.0, "npu": 2.0}).graph.ops) == 4
