"""Hooks of the site that ``make docs`` builds: links that leave docs/, Sphinx roles and lazily imported names."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import griffe

DOCS = Path(__file__).parent.resolve()
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc|obj):`(~?)([\w.]+)`")
DOCTEST = re.compile(r"^( *)>>> .*\n?(?:\1\S.*\n?)*", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """A page whose links to files outside docs/ are the paths of these files, since the site does not hold them."""
    folder = (DOCS / page.file.src_uri).parent

    def without_link(match: re.Match[str]) -> str:
        text, target = match.groups()
        path = (folder / target).resolve()
        if path.is_relative_to(DOCS):
            return match[0]
        name = path.relative_to(DOCS.parent).as_posix()
        return text if name in text else f"{text} (`{name}`)"

    return LINK.sub(without_link, markdown)


class Docstrings(griffe.Extension):
    """Makes links of Sphinx roles, and exports of the names that a package imports when they are first used."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Replaces roles by links, which stay code where the site does not hold their target, and fences doctests."""
        remaining: list[Any] = [pkg]
        for obj in remaining:
            remaining += [member for member in obj.members.values() if not member.is_alias]
            if obj.docstring:
                text = ROLE.sub(lambda match, obj=obj: _link(obj, *match.groups()), obj.docstring.value)
                obj.docstring.value = DOCTEST.sub(lambda match: f"\n{_fenced(match[0].rstrip(), match[1])}\n", text)

    def on_module_members(self, *, mod: griffe.Module, **_: Any) -> None:
        """Exports what ``lazy_names`` makes of a package's table ``_MODULES``."""
        table = mod.members.get("_MODULES")
        if isinstance(table, griffe.Attribute):
            mod.exports = list(ast.literal_eval(str(table.value)))


def _link(obj: griffe.Object, tilde: str, name: str) -> str:
    try:
        target = obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    text = name.rpartition(".")[2] if tilde else name
    return f'<autoref optional identifier="{target}"><code>{text}</code></autoref>'


def _fenced(example: str, indent: str) -> str:
    lines = [line.partition("  # doctest:")[0] for line in example.splitlines()]
    return "\n".join([f"{indent}```pycon", *lines, f"{indent}```"])
