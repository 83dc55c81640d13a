"""Graphviz DOT as nodes and edges with attributes: subgraphs, defaults and chains of edges resolved."""

from __future__ import annotations

from dataclasses import dataclass, field

from hetsim.core.errors import ProblemError
from hetsim.io.task_graphs.dot_tokens import Token, tokens

_MAX_DEPTH = 100
_MAX_EDGES = 4_000_000


@dataclass(slots=True)
class DotNode:
    """A node: its attributes, and the line that names it first."""

    attributes: dict[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class DotEdge:
    """An edge: its ends, its attributes, and its line."""

    source: str
    target: str
    attributes: dict[str, str]
    line: int


@dataclass(slots=True)
class DotGraph:
    """A graph: nodes by name in the order in which the text names them first, and edges in its order."""

    name: str
    strict: bool
    nodes: dict[str, DotNode] = field(default_factory=dict)
    edges: list[DotEdge] = field(default_factory=list)


def parse_graph(text: str) -> DotGraph:
    """The graph of a text in the DOT language.

    Raises:
        ProblemError: If the text is no directed graph in DOT; the message begins with the line.
    """
    return _Parser(text).graph()


@dataclass(frozen=True, slots=True)
class _Scope:
    """Attributes that nodes and edges have from here on, unless they say otherwise."""

    node: dict[str, str]
    edge: dict[str, str]
    depth: int = 0

    def inner(self) -> _Scope:
        return _Scope(dict(self.node), dict(self.edge), self.depth + 1)


class _Parser:
    """Recursive descent with one token of lookahead."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._next = next(self._tokens)

    def graph(self) -> DotGraph:
        strict = self._accept("strict")
        if self._next.kind == "graph":
            raise ProblemError(f"line {self._next.line}: the graph has no directions; expected 'digraph'")
        self._expect("digraph", "'digraph'")
        name = self._name("a name") if self._next.kind == "name" else ""
        self._graph = DotGraph(name, strict)
        self._body(_Scope({}, {}))
        self._expect("end", "the end of the file")
        return self._graph

    def _body(self, scope: _Scope) -> dict[str, None]:
        """The nodes between two braces."""
        if scope.depth > _MAX_DEPTH:
            raise ProblemError(f"line {self._next.line}: subgraphs are nested deeper than {_MAX_DEPTH}")
        self._expect("{", "'{'")
        members: dict[str, None] = {}
        while self._next.kind not in ("}", "end"):
            if not self._accept(";"):
                members.update(self._statement(scope))
        self._expect("}", "'}'")
        return members

    def _statement(self, scope: _Scope) -> dict[str, None]:
        """The nodes that a statement names."""
        if self._next.kind in ("graph", "node", "edge"):
            kind = self._take().kind
            if self._next.kind != "[":
                raise self._unexpected("'['")
            attributes = self._attributes()
            if kind != "graph":
                (scope.node if kind == "node" else scope.edge).update(attributes)
            return {}
        first = self._next
        if first.kind != "name":
            return self._connected(self._subgraph(scope), scope, single=None)
        name = self._name("a name")
        if self._accept("="):  # an attribute of the graph
            self._name("a value")
            return {}
        return self._connected(self._node(name, first.line, scope), scope, single=name)

    def _connected(self, members: dict[str, None], scope: _Scope, *, single: str | None) -> dict[str, None]:
        """The nodes of a node or subgraph and of all that edges lead to from there."""
        steps: list[tuple[dict[str, None], dict[str, None], int]] = []
        everyone, last = dict(members), members
        while self._next.kind in ("->", "--"):
            arrow = self._take()
            if arrow.kind == "--":
                raise ProblemError(f"line {arrow.line}: '--' in a directed graph; expected '->'")
            token = self._next
            reached = (
                self._node(self._name("a task"), token.line, scope) if token.kind == "name" else self._subgraph(scope)
            )
            steps.append((last, reached, arrow.line))
            everyone.update(reached)
            last = reached
        attributes = self._attributes() if self._next.kind == "[" and (steps or single is not None) else {}
        if not steps and single is not None:
            self._graph.nodes[single].attributes.update(attributes)
        for sources, targets, line in steps:
            if len(self._graph.edges) + len(sources) * len(targets) > _MAX_EDGES:
                raise ProblemError(f"line {line}: the graph has more than {_MAX_EDGES} edges, the most that are read")
            shared = scope.edge | attributes
            self._graph.edges += [DotEdge(a, b, shared, line) for a in sources for b in targets]
        return everyone

    def _node(self, name: str, line: int, scope: _Scope) -> dict[str, None]:
        """A node; the port behind it, if any, is skipped."""
        self._graph.nodes.setdefault(name, DotNode(dict(scope.node), line))
        while self._accept(":"):
            self._name("a port")
        return {name: None}

    def _subgraph(self, scope: _Scope) -> dict[str, None]:
        if self._accept("subgraph"):
            if self._next.kind == "name":
                self._name("a name")
        elif self._next.kind != "{":
            raise self._unexpected("a task, an edge, 'subgraph' or '}'")
        return self._body(scope.inner())

    def _attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self._accept("["):
            while self._next.kind != "]":
                key = self._name("the name of an attribute, or ']'")
                self._expect("=", f"'=' and the value of {key[:40]!r}")
                found[key] = self._name(f"the value of {key[:40]!r}")
                if not self._accept(","):
                    self._accept(";")
            self._take()
        return found

    def _name(self, expected: str) -> str:
        """A name; quoted ones may be joined by ``+``."""
        parts = [self._expect("name", expected).text]
        while self._accept("+"):
            parts.append(self._expect("name", "a text").text)
        return "".join(parts)

    def _accept(self, kind: str) -> bool:
        if self._next.kind != kind:
            return False
        self._take()
        return True

    def _expect(self, kind: str, expected: str) -> Token:
        if self._next.kind != kind:
            raise self._unexpected(expected)
        return self._take()

    def _take(self) -> Token:
        token = self._next
        self._next = next(self._tokens, token)
        return token

    def _unexpected(self, expected: str) -> ProblemError:
        return ProblemError(f"line {self._next.line}: found {self._next}; expected {expected}")
