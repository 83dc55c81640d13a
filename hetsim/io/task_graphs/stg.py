"""The Standard Task Graph Set's format, without and with communication costs.

T. Tobita, H. Kasahara, "A standard task graph set for fair evaluation of multiprocessor scheduling algorithms", Journal
of Scheduling 5(5), 2002, doi 10.1002/jos.116; the format is at https://www.kasahara.cs.waseda.ac.jp/schedule/.

The first line has the number of tasks; a number of processors may follow, as in the prototype set, and is ignored. Each
further line has a task's number, its processing time, how many predecessors it has, and these. With communication costs
each predecessor is followed by the cost of its edge, or each such pair is on a line of its own. What follows ``#`` is a
comment. An entry and an exit task of no time that the number of tasks leaves out are no tasks here either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hetsim.core.errors import ProblemError
from hetsim.core.problem import Problem
from hetsim.io.task_graphs.costs import Costs, Edge, Task, make_task_problem, read_number

_WHOLE = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A task's line: its number, its time, and by predecessor the cost of the edge and the line that names it."""

    number: int
    time: float
    predecessors: dict[int, tuple[Decimal, int]]
    line: int


@dataclass(frozen=True, slots=True)
class _Line:
    """The fields of a line that is neither empty nor a comment."""

    number: int
    fields: list[str]


def parse_stg(text: str, *, name: str, costs: Costs) -> Problem:
    """The problem in a text of the format; tasks are called by their numbers.

    Raises:
        ProblemError: If the text has a mistake; the message begins with its line.
    """
    lines = _lines(text)
    header = next(lines, None)
    if header is None:
        raise ProblemError("line 1: the file has no numbers; expected the number of tasks")
    if len(header.fields) > 2:
        raise ProblemError(
            f"line {header.number}: {len(header.fields)} numbers; expected that of tasks, perhaps that of processors"
        )
    num_tasks = _whole(header, 0, "the number of tasks")
    rows = _rows(lines, header.number)
    counted = _without_dummies(list(rows.values()), num_tasks, header.number)
    tasks = {str(row.number): Task(times={"": row.time}, line=row.line) for row in counted}
    edges = [
        Edge(source=str(other), target=str(row.number), cost=cost, line=line)
        for row in counted
        for other, (cost, line) in row.predecessors.items()
        if str(other) in tasks
    ]
    return make_task_problem(name, tasks, edges, costs)


def _lines(text: str) -> Iterator[_Line]:
    for number, line in enumerate(text.split("\n"), 1):
        fields = line.partition("#")[0].split()
        if fields:
            yield _Line(number, fields)


def _rows(lines: Iterator[_Line], last: int) -> dict[int, _Row]:
    """By number the tasks, in the file's order."""
    rows: dict[int, _Row] = {}
    layout = ""
    for line in lines:
        if len(line.fields) < 3:
            raise ProblemError(
                f"line {line.number}: {len(line.fields)} numbers; expected a task's number, its time, and how many "
                "predecessors it has"
            )
        number = _whole(line, 0, "a task's number")
        if number in rows:
            raise ProblemError(f"line {line.number}: task {number} is on line {rows[number].line} already")
        time = float(read_number(line.fields[1], line.number, f"the time of task {number}"))
        count = _whole(line, 2, f"how many predecessors task {number} has")
        found = _layout(line, count)
        if found and layout and found != layout:
            raise ProblemError(f"line {line.number}: task {number} has {found}; the tasks above have {layout}")
        layout = layout or found
        pairs = _pairs(line, lines, count, found)
        rows[number] = _Row(number=number, time=time, predecessors=_by_number(number, pairs), line=line.number)
        last = line.number
    if not rows:
        raise ProblemError(f"line {last}: the file ends here; expected a line for each task")
    for row in rows.values():
        for other, (_, at) in row.predecessors.items():
            if other not in rows:
                raise ProblemError(
                    f"line {at}: task {row.number} has predecessor {other}, which is no task of the file"
                )
    return rows


_PLAIN, _INLINE, _BELOW = "predecessors", "predecessors with costs", "predecessors with costs on lines of their own"


def _layout(line: _Line, count: int) -> str:
    """How a task's predecessors are written; empty if it has none."""
    num_fields = len(line.fields) - 3
    layouts = {count: _PLAIN, 2 * count: _INLINE, 0: _BELOW} if count else {0: ""}
    if num_fields not in layouts:
        expected = f"{count}, or {2 * count} with costs" if count else "none"
        raise ProblemError(
            f"line {line.number}: {num_fields} numbers follow the number of predecessors, {count}; expected {expected}"
        )
    return layouts[num_fields]


def _pairs(line: _Line, lines: Iterator[_Line], count: int, layout: str) -> list[_Line]:
    """For each predecessor its number and perhaps the cost of its edge."""
    fields = line.fields[3:]
    if layout == _PLAIN:
        return [_Line(line.number, [word]) for word in fields]
    if layout == _INLINE:
        return [_Line(line.number, fields[at : at + 2]) for at in range(0, len(fields), 2)]
    pairs: list[_Line] = []
    while layout and len(pairs) < count:
        pair = next(lines, None)
        if pair is None or len(pair.fields) != 2:
            found = "the file ends" if pair is None else f"line {pair.number} has {len(pair.fields)} numbers"
            raise ProblemError(
                f"line {line.number}: task {line.fields[0]} has {count} predecessors, but {len(pairs)} follow before "
                f"{found}; expected a line with a predecessor and its cost for each"
            )
        pairs.append(pair)
    return pairs


def _by_number(task: int, pairs: Sequence[_Line]) -> dict[int, tuple[Decimal, int]]:
    found: dict[int, tuple[Decimal, int]] = {}
    for pair in pairs:
        other = _whole(pair, 0, f"a predecessor of task {task}")
        if other in found:
            raise ProblemError(f"line {pair.number}: task {task} has predecessor {other} twice")
        what = f"the cost of edge {other} -> {task}"
        cost = read_number(pair.fields[1], pair.number, what) if len(pair.fields) > 1 else Decimal(0)
        found[other] = cost, pair.number
    return found


def _without_dummies(rows: list[_Row], num_tasks: int, line: int) -> list[_Row]:
    """The tasks that the file's number of tasks counts."""
    surplus = len(rows) - num_tasks
    others = {other for row in rows for other in row.predecessors}
    counted = list(rows)
    if surplus > 0 and counted[0].time == 0 and not counted[0].predecessors:
        counted, surplus = counted[1:], surplus - 1
    if surplus > 0 and counted and counted[-1].time == 0 and counted[-1].number not in others:
        counted, surplus = counted[:-1], surplus - 1
    if surplus:
        raise ProblemError(
            f"line {line}: {num_tasks} tasks are announced, but {len(rows)} follow; expected as many, besides at most "
            "an entry and an exit task of no time"
        )
    return counted


def _whole(line: _Line, at: int, what: str) -> int:
    if not _WHOLE.fullmatch(line.fields[at]):
        raise ProblemError(
            f"line {line.number}: {what} is {line.fields[at][:40]!r}; expected a whole number, 0 or more"
        )
    return int(line.fields[at])
