"""One language: words of the project's former dialect are left neither in names, nor in texts, nor on pages.

The field has a word for each of them (docs/concepts.md). Where an English sentence needs one of these words in its
plain sense, another sentence says the same.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.docs.sources import MODULES, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

IN_TEXT = [
    "cover",
    "covers",
    "covered",
    "walk",
    "walks",
    "walked",
    "yardstick",
    "yardsticks",
    "fetch",
    "fetches",
    "fetched",
    "steady",
    "steadiness",
    "typical",
    "typically",
    "crossing",
    "crossings",
    "surroundings",
    "hopeful",
    "careful",
    "carefully",
    "mood",
    "moods",
    "lean",
    "leaning",
    "hoped",
    "patience",
    "acted",
    "kept",
    "twin",
    "finals",
    "turns",
    "wholes",
    "settled",
]
"""Not in docstrings, messages, comments and pages."""
IN_NAMES = [*IN_TEXT, "words", "leave", "able", "raised"]
"""Not a part of any name either. In a sentence some are plain English, and Python raises exceptions."""
IN_COMMANDS = ["read", "given", "where"]
"""Not a whole name in the command line's modules, where they hid what they stood for."""

EXCEPTIONS = {
    ("tuner/report/summary.py", "hoped"): "summary.json keeps its key `hoped_s`, on which other programs rely",
}
"""By file and word, why it may stay."""


def test_every_exception_is_needed() -> None:
    for file, word in EXCEPTIONS:
        assert word in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_speaks_the_dialect(path: Path) -> None:
    text = path.read_text("utf-8")
    found = [*_in_names(text, IN_NAMES), *_in_texts(text)]
    if path.is_relative_to(ROOT / "tuner" / "cli"):
        found += [name for name in _names(text) if name in IN_COMMANDS]
    assert _without_exceptions(path, found) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_speaks_the_dialect(path: Path) -> None:
    assert _without_exceptions(path, _words(path.read_text("utf-8"))) == []


def _without_exceptions(path: Path, found: list[str]) -> list[str]:
    return [word for word in found if (path.relative_to(ROOT).as_posix(), word) not in EXCEPTIONS]


def _names(text: str) -> set[str]:
    """Every name that the module defines or uses, but for those of other people's attributes such as ``os.walk``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("os", "ast", "np")
        ):
            names.add(node.attr)
    return names


def _in_names(text: str, banned: list[str]) -> list[str]:
    found = []
    for name in sorted(_names(text)):
        parts = re.split(r"_|(?<=[a-z])(?=[A-Z])", name)
        found += [part.lower() for part in parts if part.lower() in banned]
    return found


def _in_texts(text: str) -> list[str]:
    """Words of strings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    return [word for token in tokens if token.type in kinds for word in _words(token.string)]


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z]+", text.lower()) if word in IN_TEXT]
