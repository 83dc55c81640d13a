"""Pages that commands write are up to date, and what people read first is short."""

from __future__ import annotations

from pathlib import Path

from experiments import results_pages
from tests.docs import equations

ROOT = Path(__file__).parents[2]
READ_THROUGH = ("README", "CONTRIBUTING", "CHANGELOG", "docs/tutorial", "docs/concepts", "docs/model",
                "docs/architecture", "docs/accuracy", "docs/performance")  # fmt: skip
"""All pages but reference (cli, python, formats, conformance, API) and decisions."""


def test_results_are_shown_as_they_are_in_the_csv_files() -> None:
    assert results_pages.main(["--check"]) == 0


def test_every_equation_has_a_test_and_every_mark_an_equation() -> None:
    page = equations.PAGE.read_text("utf-8")
    assert set(equations.labels(page)) == set(equations.tests_by_label())
    assert page == equations.with_table(page), "out of date: run python -m tests.docs.equations"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 80


def test_all_that_is_read_through_has_at_most_12000_words() -> None:
    assert sum(len((ROOT / f"{page}.md").read_text("utf-8").split()) for page in READ_THROUGH) <= 12_000
