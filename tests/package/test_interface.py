"""What ``import hetsim`` offers: every name is typed and imported when it is used, and a wrong one gets near names."""

from __future__ import annotations

import ast
from importlib import import_module
from types import ModuleType

import pytest

import hetsim
import hetsim.runtime
import hetsim.scheduler
import hetsim.tuner

PACKAGES = (hetsim, hetsim.runtime, hetsim.scheduler, hetsim.tuner)


def declared(package: ModuleType) -> dict[str, str]:
    """By name, the module that type checkers take it from; subpackages left out."""
    assert package.__file__ is not None
    with open(package.__file__, encoding="utf-8") as file:
        (block,) = (node for node in ast.parse(file.read()).body if isinstance(node, ast.If) and not _is_not(node.test))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    found = [(alias, node.module) for node in imports for alias in node.names if node.module != package.__name__]
    assert all(alias.asname == alias.name for alias, _ in found), "'as' makes it public for type checkers"
    return {alias.name: str(module) for alias, module in found}


def _is_not(test: ast.expr) -> bool:
    return isinstance(test, ast.UnaryOp)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_type_checkers_and_the_interpreter_see_the_same_names(package: ModuleType) -> None:
    names = declared(package)
    assert sorted(package.__all__) == sorted(names)
    assert set(names) <= set(dir(package))
    for name, module in names.items():
        assert getattr(package, name) is getattr(import_module(module), name)


def test_the_rooms_are_attributes() -> None:
    assert hetsim.scheduler.make_plan is import_module("hetsim.scheduler.registry").make_plan


def test_a_function_wins_over_the_module_of_its_name() -> None:
    import_module("hetsim.tuner.pipeline")
    assert callable(hetsim.tuner.tune)


def test_a_name_that_is_not_there_gets_near_names() -> None:
    with pytest.raises(
        AttributeError, match=r"^module 'hetsim' has no attribute 'load_modle'; did you mean 'load_model' "
    ):
        hetsim.load_modle  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'hetsim' has no attribute 'xyzzy'$"):
        hetsim.xyzzy  # noqa: B018
    assert not hasattr(hetsim, "__wrapped__")
