"""Packages whose names are imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType


class _LazyPackage(ModuleType):
    """A package that gives a function the attribute for which it competes with the submodule of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Importing the submodule does not shadow the name."""
        if not (isinstance(value, ModuleType) and name in self.__dict__.get("_SHADOWING", ())):
            super().__setattr__(name, value)


def lazy_names(
    package: str, modules: Mapping[str, str], *, subpackages: tuple[str, ...] = ()
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its full name.
        modules: By name in the package, the module that defines it.
        subpackages: Subpackages that an attribute access imports.
    """
    here = sys.modules[package]
    here.__class__ = _LazyPackage
    here.__dict__["_SHADOWING"] = frozenset(name for name, module in modules.items() if module == f"{package}.{name}")

    def get(name: str) -> object:
        if name in subpackages:
            return import_module(f"{package}.{name}")
        if name not in modules:
            # Without obj, a traceback does not add a second list of near names.
            raise AttributeError(f"module {package!r} has no attribute {name!r}{_near(name)}", name=name)
        found: object = getattr(import_module(modules[name]), name)
        here.__dict__[name] = found
        return found

    def _near(name: str) -> str:
        if name.startswith("_"):  # protocols of Python and notebooks ask for many of these
            return ""
        from difflib import get_close_matches

        near = get_close_matches(name, [*modules, *subpackages], n=3)
        return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""

    def names() -> list[str]:
        return sorted({*here.__dict__, *modules, *subpackages})

    return get, names
