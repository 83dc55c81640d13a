"""The table of docs/model.md that leads from equations to the tests that hold them.

A test says what it holds by ``@pytest.mark.equation(LABEL)``. ``python -m tests.docs.equations`` writes the table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "model.md"
BEGIN, END = "<!-- equations: begin -->\n", "<!-- equations: end -->"


def labels(page: str) -> tuple[str, ...]:
    """The labels of a page's equations, in its order, each once."""
    text = page.partition(BEGIN)[0]
    return tuple(dict.fromkeys(re.findall(r"(?:  |\*)\[([a-z][a-z-]*)\](?:\*|$)", text, re.MULTILINE)))


def tests_by_label() -> Mapping[str, list[str]]:
    """By label, the names of the tests that hold it, sorted."""
    found: dict[str, list[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for label, name in _marks(ast.parse(path.read_text("utf-8"))):
            found.setdefault(label, []).append(name)
    return {label: sorted(names) for label, names in found.items()}


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                    yield ast.literal_eval(mark.args[0]), node.name


def table(page: str) -> str:
    """The table for a page."""
    by_label = tests_by_label()
    lines = ["|equation|tests|", "|---|---|"]
    for label in labels(page):
        tests = "<br>".join(f"`{name}`" for name in by_label.get(label, []))
        lines.append(f"|{label}|{tests}|")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """A page with the table as it should be."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table(page) + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
