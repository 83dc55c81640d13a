"""The tokens of the DOT language, with their lines; the language is at https://graphviz.org/doc/info/lang.html."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hetsim.core.errors import ProblemError

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<name>[A-Za-z_\u0080-\U0010ffff][\w\u0080-\U0010ffff]*|-?(?:\.\d+|\d+(?:\.\d*)?))
    |(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<symbol>->|--|[{}\[\];,=:+])""",
    re.VERBOSE | re.DOTALL,
)
_PREPROCESSOR = re.compile(r"^#[^\n]*", re.MULTILINE)
_KEYWORDS = frozenset({"node", "edge", "graph", "digraph", "subgraph", "strict"})
_BRACKET = re.compile(r"[<>]")


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        kind: ``name``, ``end``, a keyword, or the symbol itself.
        text: Of a name, what it says, without quotes; else what is in the file.
        line: From 1.
    """

    kind: str
    text: str
    line: int

    def __str__(self) -> str:
        return "the end of the file" if self.kind == "end" else repr(self.text[:40])


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; the last one is its end.

    Raises:
        ProblemError: If something is no token; the message begins with its line.
    """
    text = _PREPROCESSOR.sub("", text)
    at, line = 0, 1
    while at < len(text):
        if text[at] == "<":
            end = _end_of_markup(text, at, line)
            yield Token("name", text[at:end], line)
        else:
            found = _TOKEN.match(text, at)
            if found is None:
                raise ProblemError(f"line {line}: {_unknown(text[at])}; expected a name, a number or a symbol of DOT")
            end = found.end()
            if found.lastgroup != "space":
                yield _token(found, line)
        line += text.count("\n", at, end)
        at = end
    yield Token("end", "", line)


def _token(found: re.Match[str], line: int) -> Token:
    word = found.group()
    match found.lastgroup:
        case "quoted":
            return Token("name", word[1:-1].replace("\\\n", "").replace('\\"', '"'), line)
        case "name" if word.lower() in _KEYWORDS:
            return Token(word.lower(), word, line)
        case "name":
            return Token("name", word, line)
    return Token(word, word, line)


def _unknown(character: str) -> str:
    match character:
        case '"':
            return "a quote that nothing closes"
        case "/":
            return "a comment that nothing closes"
    return repr(character)


def _end_of_markup(text: str, at: int, line: int) -> int:
    """Where a label in HTML that begins at ``at`` ends."""
    depth = 0
    for found in _BRACKET.finditer(text, at):
        depth += 1 if found.group() == "<" else -1
        if not depth:
            return found.end()
    raise ProblemError(f"line {line}: a '<' that nothing closes; expected '>'")
