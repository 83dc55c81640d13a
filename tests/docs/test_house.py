"""The house: rooms that one can take in at a glance, short files and functions, and no circle of imports."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import networkx as nx
import pytest

from tests.docs.sources import MODULES, ROOT

ROOMS = sorted({path.parent for path in MODULES})
MAX_ENTRIES, MAX_FILES, MAX_LINES, MAX_FUNCTION_LINES = 11, 12, 350, 60


def test_the_package_shows_its_rooms_and_little_else() -> None:
    entries = [path.name for path in (ROOT / "hetsim").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= MAX_ENTRIES, sorted(entries)
    assert {"core", "io", "models", "costs", "sim", "analysis", "scheduler", "runtime", "tuner"} <= set(entries)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_a_room_says_what_it_is_for_and_holds_a_dozen_files_at_most(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MAX_FILES
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8")))
    assert docstring
    assert len(docstring.splitlines()[0]) > 20


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    too_long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _num_code_lines(node) > MAX_FUNCTION_LINES
        and not any("njit" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert too_long == []


def test_no_import_leads_back_to_its_module() -> None:
    graph = grimp.build_graph("hetsim", "experiments", exclude_type_checking_imports=False)
    imports = nx.DiGraph(
        (module, imported) for module in graph.modules for imported in graph.find_modules_directly_imported_by(module)
    )
    assert [sorted(circle) for circle in nx.strongly_connected_components(imports) if len(circle) > 1] == []


def test_no_test_module_imports_another() -> None:
    """What tests share lies in tests/support."""
    importers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert importers == []


def _num_code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    assert function.end_lineno is not None
    count = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        count -= docstring.end_lineno - docstring.lineno + 1
    return count
