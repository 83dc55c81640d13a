"""Task graphs from their files, whatever the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hetsim.core.errors import HetsimError, ProblemError
from hetsim.core.platform import Link
from hetsim.core.problem import Problem
from hetsim.io.files import read_bounded
from hetsim.io.task_graphs.costs import Costs
from hetsim.io.task_graphs.dot import parse_dot
from hetsim.io.task_graphs.stg import parse_stg
from hetsim.io.task_graphs.wfcommons import load_workflow

_PARSERS: dict[str, Callable[..., Problem]] = {"stg": parse_stg, "dot": parse_dot}
_SUFFIXES = {".stg": "stg", ".dot": "dot", ".gv": "dot"}
FORMATS = ("wfcommons", *_PARSERS)
"""Formats of task graphs."""


def load_task_graph(
    path: Path | str,
    *,
    speeds: Mapping[str, float],
    link: Link | None = None,
    unit_s: float = 1.0,
    task_cost: str | None = None,
    edge_cost: str | None = None,
    file_format: str | None = None,
) -> Problem:
    """The problem of running a task graph on given devices.

    Args:
        path: The file.
        speeds: By device, the factor by which it runs tasks faster than the file says; positive.
        link: The link between any two devices; unless its bandwidth is finite, costs of edges are times.
        unit_s: Seconds of one unit of time of the file; positive.
        task_cost: The attribute of DOT that is the cost of a task; None: the usual ones.
        edge_cost: The attribute of DOT that is the cost of an edge; None: the usual ones.
        file_format: One of :data:`FORMATS`; None: by the file's ending, ``.stg``, ``.dot`` or ``.gv``, else WfCommons.

    Raises:
        ProblemError: If the file cannot be read or has a mistake, or its format has no use for an argument.
    """
    costs = Costs(speeds=speeds, link=link, unit_s=unit_s, task_cost=task_cost, edge_cost=edge_cost)
    path = Path(path)
    if file_format is None:
        file_format = _SUFFIXES.get(path.suffix.lower(), "wfcommons")
    if file_format not in FORMATS:
        raise ProblemError(f"no format {file_format!r}; choose from {', '.join(FORMATS)}")
    if file_format != "dot" and (costs.task_cost is not None or costs.edge_cost is not None):
        raise ProblemError(f"task graph {path}: attributes were named, but only the format dot has some")
    if file_format == "wfcommons":
        if costs.unit_s != 1:
            raise ProblemError(f"task graph {path}: a unit of time was given, but the format wfcommons has seconds")
        return load_workflow(path, speeds=costs.speeds, link=costs.link)
    try:
        return _PARSERS[file_format](_text(path), name=path.stem, costs=costs)
    except OSError as error:
        raise ProblemError(f"cannot read task graph {path}: {error.strerror}") from None
    except HetsimError as error:
        raise ProblemError(f"task graph {path}: {error}") from None


def _text(path: Path) -> str:
    content = read_bounded(path)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProblemError(f"line {line}: byte {error.object[error.start]:#04x} is no text; expected UTF-8") from None
