"""Scientific workflows as problems: instances in the JSON format of WfCommons, which is common in that field.

T. Coleman, H. Casanova, L. Pottier, M. Kaushik, E. Deelman, R. Ferreira da Silva, "WfCommons: A framework for enabling
scientific workflow research and development", Future Generation Computer Systems 128, 2022, doi
10.1016/j.future.2021.09.043; the schema is at https://github.com/wfcommons/WfFormat. The reader supports versions 1.5
and 1.6 (``workflow.specification`` and ``workflow.execution``), and 1.3 and 1.4 (``workflow.tasks``).

In versions 1.3 and 1.4 tasks may refer to each other by name or by id. A task that was executed more than once is
refused, as nothing says which runtime counts.

A task becomes an operator that takes its recorded runtime divided by a device's speed; its cores and its machine are
ignored. A file becomes a tensor from the task that writes it to those that read it. A dependency
without a file in common becomes an edge of no bytes. Files that no task writes are there from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hetsim.core.errors import HetsimError, ProblemError
from hetsim.core.platform import Link
from hetsim.core.problem import Problem
from hetsim.io.json_file import convert, decode_json, read_json
from hetsim.io.problem_file import EdgeEntry, make_table_problem
from hetsim.io.task_graphs.costs import Costs, as_file

VERSIONS = ("1.3", "1.4", "1.5", "1.6")


class _Instance(msgspec.Struct, rename="camel"):
    schema_version: str
    workflow: dict[str, Any]
    name: str = ""


class _SpecifiedTask(msgspec.Struct, rename="camel"):
    id: str
    parents: list[str] = []
    children: list[str] = []
    input_files: list[str] = []
    output_files: list[str] = []


class _SpecifiedFile(msgspec.Struct, rename="camel"):
    id: str
    size_in_bytes: int | float


class _Specification(msgspec.Struct):
    tasks: list[_SpecifiedTask]
    files: list[_SpecifiedFile] = []


class _ExecutedTask(msgspec.Struct, rename="camel"):
    id: str
    runtime_in_seconds: float


class _Execution(msgspec.Struct):
    tasks: list[_ExecutedTask]


class _OldFile(msgspec.Struct, rename="camel"):
    name: str
    link: str
    size: int | float | None = None
    size_in_bytes: int | float | None = None
    path: str = ""


class _OldTask(msgspec.Struct, rename="camel"):
    name: str
    id: str = ""
    runtime: float | None = None
    runtime_in_seconds: float | None = None
    parents: list[str] = []
    children: list[str] = []
    files: list[_OldFile] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """A task of any version of the format.

    Attributes:
        parents: Names of tasks that it waits for.
        children: Names of tasks that wait for it.
        reads: Names of files.
        writes: Names of files.
        runtime_s: Recorded runtime in seconds.
    """

    parents: list[str]
    children: list[str]
    reads: list[str]
    writes: list[str]
    runtime_s: float


def load_workflow(path: Path | str, *, speeds: Mapping[str, float], link: Link | None = None) -> Problem:
    """The problem of running a recorded workflow on the given devices.

    Args:
        path: The instance.
        speeds: By device, the factor by which it runs tasks faster than recorded; positive.
        link: The link between any two devices; None if transfers cost nothing.

    Raises:
        ProblemError: If the file cannot be read or has a mistake, or a speed is not positive.
    """
    Costs(speeds=speeds)
    try:
        instance = decode_json(read_json(Path(path), what="workflow"), _Instance)
        if instance.schema_version not in VERSIONS:
            raise ProblemError(
                f"schema version {instance.schema_version!r} is not supported; supported are {', '.join(VERSIONS)}"
            )
        if "specification" in instance.workflow:
            tasks, sizes_bytes = _specified(instance.workflow)
        else:
            tasks, sizes_bytes = _old(instance.workflow)
        file = as_file(
            {
                name: {device: task.runtime_s / speed for device, speed in speeds.items()}
                for name, task in tasks.items()
            },
            _edges(tasks, sizes_bytes),
            link or Link(),
            devices=tuple(speeds),
        )
        file.name = instance.name
        return make_table_problem(file, name=Path(path).stem)
    except HetsimError as error:
        raise ProblemError(f"workflow {path}: {error}") from None


def _specified(workflow: Mapping[str, Any]) -> tuple[dict[str, _Task], dict[str, float]]:
    """Tasks and file sizes of version 1.5 and later."""
    if "execution" not in workflow:
        raise ProblemError("workflow.execution is missing, which gives the tasks' runtimes")
    specification = convert(workflow["specification"], _Specification, "workflow.specification")
    execution = convert(workflow["execution"], _Execution, "workflow.execution")
    runtimes_s: dict[str, float] = {}
    for executed in execution.tasks:
        if executed.id in runtimes_s:
            raise ProblemError(
                f"workflow.execution has task {executed.id!r} more than once, with {runtimes_s[executed.id]} s and "
                f"{executed.runtime_in_seconds} s; keep the execution that counts"
            )
        runtimes_s[executed.id] = executed.runtime_in_seconds
    tasks: dict[str, _Task] = {}
    for task in specification.tasks:
        if task.id not in runtimes_s:
            raise ProblemError(f"workflow.execution has no task {task.id!r}, so its runtime is unknown")
        _add(
            tasks,
            task.id,
            _Task(
                parents=task.parents,
                children=task.children,
                reads=task.input_files,
                writes=task.output_files,
                runtime_s=runtimes_s[task.id],
            ),
        )
    return tasks, {file.id: file.size_in_bytes for file in specification.files}


def _old(workflow: Mapping[str, Any]) -> tuple[dict[str, _Task], dict[str, float]]:
    """Tasks and file sizes of versions before 1.5, in which tasks refer to each other by name, or by id."""
    entries = workflow.get("tasks", workflow.get("jobs"))
    if entries is None:
        raise ProblemError("workflow has neither a specification nor tasks")
    tasks: dict[str, _Task] = {}
    sizes_bytes: dict[str, float] = {}
    old_tasks = convert(entries, list[_OldTask], "workflow.tasks")
    labels = _labels(old_tasks)
    label_of = _references(old_tasks, labels)

    def resolved(task: _OldTask, others: list[str]) -> list[str]:
        return [_resolved(label_of, task.name, other) for other in others]

    for task, label in zip(old_tasks, labels, strict=True):
        runtime_s = task.runtime if task.runtime_in_seconds is None else task.runtime_in_seconds
        if runtime_s is None:
            raise ProblemError(f"task {task.name!r} has no runtime")
        reads: list[str] = []
        writes: list[str] = []
        for file in task.files:
            num_bytes = file.size if file.size_in_bytes is None else file.size_in_bytes
            if num_bytes is None:
                raise ProblemError(f"file {file.name!r} of task {task.name!r} has no size")
            if file.link not in ("input", "output"):
                raise ProblemError(
                    f"file {file.name!r} of task {task.name!r} has link {file.link!r}, not input or output"
                )
            sizes_bytes[file.path + file.name] = num_bytes
            (reads if file.link == "input" else writes).append(file.path + file.name)
        _add(
            tasks,
            label,
            _Task(
                parents=resolved(task, task.parents),
                children=resolved(task, task.children),
                reads=reads,
                writes=writes,
                runtime_s=runtime_s,
            ),
        )
    return tasks, sizes_bytes


def _labels(tasks: list[_OldTask]) -> list[str]:
    """What tasks are called: their names or, where several have one name, their ids if these differ."""
    names, ids = [task.name for task in tasks], [task.id for task in tasks]
    return ids if len(set(names)) < len(names) and len(set(ids)) == len(ids) and all(ids) else names


def _references(tasks: list[_OldTask], labels: list[str]) -> dict[str, set[str]]:
    """By name and by id, the tasks that may be meant."""
    label_of: dict[str, set[str]] = {}
    for task, label in zip(tasks, labels, strict=True):
        for reference in filter(None, (task.name, task.id)):
            label_of.setdefault(reference, set()).add(label)
    return label_of


def _resolved(label_of: Mapping[str, set[str]], task: str, other: str) -> str:
    """The task that another one refers to; the reference itself where there is none, which is an error later."""
    found = label_of.get(other, {other})
    if len(found) > 1:
        raise ProblemError(
            f"task {task!r} names {other!r} as parent or child, which is the name or id of {len(found)} tasks; "
            "make names and ids unique"
        )
    return next(iter(found))


def _add(tasks: dict[str, _Task], name: str, task: _Task) -> None:
    if name in tasks:
        raise ProblemError(f"task {name!r} is there twice")
    if not 0 <= task.runtime_s < math.inf:  # NaN fails too
        raise ProblemError(f"task {name!r} took {task.runtime_s} s; runtimes are finite and not negative")
    tasks[name] = task


def _edges(tasks: Mapping[str, _Task], sizes_bytes: Mapping[str, float]) -> list[EdgeEntry]:
    """By reader, in the file's order: its files, then its dependencies without a file."""
    parents: dict[str, dict[str, None]] = {name: dict.fromkeys(task.parents) for name, task in tasks.items()}
    writers: dict[str, list[str]] = {}
    for name, task in tasks.items():
        for other in (*task.parents, *task.children):
            if other not in tasks:
                raise ProblemError(f"task {name!r} names {other!r} as parent or child, which is not a task")
        for child in task.children:  # dependencies may be given at either end
            parents[child][name] = None
        for file in dict.fromkeys((*task.reads, *task.writes)):
            if file not in sizes_bytes:
                raise ProblemError(f"task {name!r} names file {file!r}, whose size is not given")
        for file in dict.fromkeys(task.writes):
            writers.setdefault(file, []).append(name)
    edges: list[EdgeEntry] = []
    for name, task in tasks.items():
        served: set[str] = set()
        for file in dict.fromkeys(task.reads):
            sources = [other for other in writers.get(file, ()) if other != name]
            if len(sources) > 1:  # several tasks write the file: the parent's version is read
                sources = [other for other in sources if other in parents[name]]
                if not sources:
                    raise ProblemError(
                        f"task {name!r} reads {file!r}, which several tasks write, none of them its parent"
                    )
            for other in sources:
                tensor = file if len(writers[file]) == 1 else f"{other}:{file}"
                edges.append(EdgeEntry(other, name, sizes_bytes[file], tensor))
                served.add(other)
        edges += [EdgeEntry(other, name, 0) for other in parents[name] if other not in served]
    return edges
