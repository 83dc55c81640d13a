"""Results of an experiment: rows in a CSV that grows model by model, and a sidecar that says where they come from."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from hetsim.core.errors import HetsimError, ModelError
from hetsim.io.files import read_bounded, write_atomically
from hetsim.io.folder_lock import lock_folder
from hetsim.models.importer import load_model
from hetsim.models.model import Model
from hetsim.models.zoo import zoo_names
from hetsim.runtime.machine.fingerprint import machine_fingerprint
from hetsim.tuner.steps.judging import versions

Settings = Mapping[str, str | int | float | list[float]]


class Row(Protocol):
    """A dataclass that is a line of a CSV; its fields are the columns."""

    @property
    def model(self) -> str:
        """The network or other problem that the line describes."""
        ...


class Subject(Protocol):
    """What rows describe: a :class:`~hetsim.models.model.Model`, or any problem with a name."""

    @property
    def name(self) -> str:
        """Its name in rows."""
        ...

    @property
    def hash(self) -> str:
        """A digest of its content; empty if the name determines the content."""
        ...


RowT = TypeVar("RowT", bound=Row)
LineT = TypeVar("LineT")
"""Any dataclass whose fields are the columns of a CSV."""


class Sidecar(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a CSV's rows come from.

    Attributes:
        command: The last command line that added rows.
        commit: The commit that it ran from, with ``" (changed)"`` if files differed from it; empty outside a checkout.
        machine: The machine's fingerprint.
        versions: By library, its version.
        date: The time at which rows were last added, ISO 8601, UTC.
        settings: The settings that all rows have in common, such as seed, platform and effort.
        model_hashes: By model that has rows, its digest.
    """

    command: str
    commit: str
    machine: str
    versions: dict[str, str]
    date: str
    settings: dict[str, str | int | float | list[float]]
    model_hashes: dict[str, str]


class Record(Generic[RowT]):
    """A CSV and its sidecar. A model's rows are added all at once, so a model that has rows has all of them.

    Args:
        path: The CSV; the sidecar has the same name with ``.json``. Rows are added to existing ones.
        row_type: The rows' dataclass.
        settings: The settings that all rows must have in common; they are stored in the sidecar.
        command: The command line, for the sidecar.

    Raises:
        HetsimError: If the files are malformed or hold results under other settings, or if another process adds results
            to the folder, which is locked as long as the record exists.
        OSError: If the folder cannot be made.
    """

    def __init__(self, path: Path, row_type: type[RowT], *, settings: Settings, command: str) -> None:
        self._lock = lock_folder(path.parent)
        self._path = path
        self._sidecar_path = path.with_suffix(".json")
        self._row_type = row_type
        self._settings = dict(settings)
        self._command = command
        self._model_hashes: dict[str, str] = {}
        self.rows: list[RowT] = []
        if self._sidecar_path.exists():
            self._model_hashes = self._checked(_read_sidecar(self._sidecar_path)).model_hashes
            self.rows = read_rows(path, row_type) if path.exists() else []
        elif path.exists():
            raise HetsimError(
                f"{path} exists without {self._sidecar_path.name}, which says where its rows come from; "
                "choose another folder"
            )

    def has(self, model: str) -> bool:
        """Whether the model has rows."""
        return any(row.model == model for row in self.rows)

    def add(self, model: Subject, rows: Sequence[RowT]) -> None:
        """Append a model's rows to the CSV; the sidecar, which also names the model, is written first.

        Raises:
            OSError: If the folder cannot be written.
        """
        self._model_hashes[model.name] = model.hash
        write_sidecar(
            self._sidecar_path, settings=self._settings, command=self._command, model_hashes=self._model_hashes
        )
        self.rows.extend(rows)
        write_rows(self._path, self._row_type, self.rows)

    def _checked(self, sidecar: Sidecar) -> Sidecar:
        """The sidecar, if its rows have the same settings and come from this machine."""
        wanted, found = {**self._settings, "machine": machine_fingerprint()}, dict(sidecar.settings)
        found["machine"] = sidecar.machine
        for name in dict.fromkeys((*wanted, *found)):
            if wanted.get(name) != found.get(name):
                raise HetsimError(
                    f"{self._path} holds results for {name} {found.get(name)!r}, this run asks for "
                    f"{wanted.get(name)!r}; choose another folder"
                )
        return sidecar


def fill(record: Record[RowT], models: Sequence[str], rows_of: Callable[[Model], Sequence[RowT]], *, seed: int) -> None:
    """Add the rows of each model that has none yet; only one model at a time is in memory.

    Args:
        record: Gets the rows.
        models: Names of the zoo, or .onnx files.
        rows_of: Makes a model's rows.
        seed: Draws the weights of networks of the zoo.

    Raises:
        OSError: If the folder cannot be written.
    """
    for name in models:
        if not record.has(model_label(name)):
            model = load_model(name, seed=seed)
            record.add(model, rows_of(model))
            del model  # before the next one is loaded


def write_sidecar(
    path: Path, *, settings: Settings, command: str, model_hashes: Mapping[str, str] | None = None
) -> None:
    """Write a sidecar with the present date, commit, machine and versions, whole or not at all.

    Raises:
        OSError: If the folder cannot be written.
    """
    sidecar = Sidecar(
        command=command,
        commit=commit(),
        machine=machine_fingerprint(),
        versions=versions(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=dict(settings),
        model_hashes=dict(model_hashes or {}),
    )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(sidecar), indent=2) + b"\n")


def write_rows(path: Path, row_type: type[LineT], rows: Sequence[LineT]) -> None:
    """Write rows as CSV, whole or not at all; numbers in full precision, None as an empty cell.

    Raises:
        OSError: If the folder cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns(row_type), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)  # type: ignore[call-overload]
    write_atomically(path, text.getvalue().encode())


def read_rows(path: Path, row_type: type[LineT]) -> list[LineT]:
    """The rows of a CSV that :func:`write_rows` wrote.

    Raises:
        HetsimError: If it has other columns, or a cell of it is malformed.
        OSError: If it cannot be read.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_bounded(path).decode("utf-8"), newline=""))
        if tuple(reader.fieldnames or ()) != columns(row_type):
            raise HetsimError(
                f"{path} has columns {', '.join(reader.fieldnames or ())}; this version writes "
                f"{', '.join(columns(row_type))}; choose another folder"
            )
        rows = []
        for line in reader:
            try:
                rows.append(msgspec.convert({k: v or None for k, v in line.items()}, row_type, strict=False))
            except msgspec.ValidationError as error:
                raise HetsimError(f"{path}, line {reader.line_num} is malformed: {error}; remove the file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise HetsimError(f"{path} is no CSV: {error}; remove the file") from None
    return rows


def columns(row_type: type[LineT]) -> tuple[str, ...]:
    """The names of a row's fields, which are the CSV's columns."""
    return tuple(entry.name for entry in fields(row_type))  # type: ignore[arg-type]


def commit() -> str:
    """The commit that this package runs from; empty outside a git checkout."""
    folder = Path(__file__).resolve().parent
    try:
        found = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{found} (changed)" if changed else found


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def model_names(text: str) -> tuple[str, ...]:
    """The models in a comma-separated list: names of the zoo or paths of .onnx files.

    Raises:
        ModelError: If the list is empty, names a model twice, or names one that does not exist. The whole list is
            checked before any model is used.
    """
    names = tuple(filter(None, (word.strip() for word in text.split(","))))
    if not names:
        raise ModelError(f"--models {text!r} names no model; name some of {', '.join(zoo_names())}, or .onnx files")
    seen: dict[str, str] = {}
    for name in names:
        label = model_label(name)
        if label in seen:
            raise ModelError(f"--models holds {label!r} twice, as {seen[label]!r} and as {name!r}; name each once")
        seen[label] = name
        if name not in zoo_names() and not Path(name).is_file():
            load_model(name)  # raises an error that says what is wrong
    return names


def model_label(name_or_path: str) -> str:
    """A model's name in rows: the one in the zoo, or the file's name without its ending, as in :func:`load_model`."""
    return name_or_path if name_or_path in zoo_names() else Path(name_or_path).stem


def _read_sidecar(path: Path) -> Sidecar:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sidecar)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HetsimError(f"{path} is malformed: {error}; choose another folder") from None
