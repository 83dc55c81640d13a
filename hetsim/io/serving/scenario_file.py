"""Scenarios of several models as TOML files; Band's benchmark configurations (JSON) are read as well.

The file format, by example::

    policy = "edf"         # left out: the policy that does best is found
    seconds = 2.0

    [models.detector]
    model = "mobilenet_v2"
    every = "33ms"
    deadline = "33ms"      # left out: the time between requests
    priority = 1

    [models.voice]
    model = "voice.onnx"
    trace = "arrivals.txt"  # seconds, one a line
    deadline = "20ms"

Band (J. S. Jeong et al., "Band: coordinated multi-DNN inference on heterogeneous mobile processors", MobiSys 2022,
doi 10.1145/3498361.3538948) lists ``models`` with ``graph``, ``period_ms`` and ``slo_us``, and ``running_time_ms``.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from hetsim.core.errors import ProblemError
from hetsim.core.load import parse_time_s
from hetsim.core.serving.arrivals import Arrivals, bursty, periodic, poisson
from hetsim.core.serving.service import POLICIES
from hetsim.io.files import read_bounded

DEFAULT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequests:
    """One model of a scenario.

    Attributes:
        name: Unique in the scenario.
        model: A network of the zoo, or the path of an .onnx file.
        every_s: Time between requests; on average, for random ones.
        pattern: ``"periodic"``, ``"poisson"`` or ``"bursty"``.
        burst: Requests of a burst.
        times_s: When requests are due, if the file gives that; empty otherwise.
        deadline_s: Seconds after a request is due by which it should end.
        priority: Smaller is more urgent.
        plans: Plan files to choose from; empty for those that are found.
        profile: A profile file; empty for a new profile.
        max_waiting: Requests that may wait.
        drop_late: Whether a request that waits at its deadline is dropped.
    """

    name: str
    model: str
    every_s: float
    pattern: Literal["periodic", "poisson", "bursty"] = "periodic"
    burst: int = 1
    times_s: tuple[float, ...] = ()
    deadline_s: float = math.inf
    priority: int = 0
    plans: tuple[Path, ...] = ()
    profile: Path | None = None
    max_waiting: int = 64
    drop_late: bool = False

    def arrivals(self, seconds: float, *, seed: int, faster: float = 1.0) -> Arrivals:
        """The requests that are due in so many seconds, with all rates multiplied by ``faster``.

        Raises:
            ProblemError: If none is.
        """
        if self.times_s:
            times_s = tuple(time_s / faster for time_s in self.times_s if time_s / faster < seconds)
            return Arrivals(len(times_s), times_s)
        every_s = self.every_s / faster
        count = max(1, math.ceil(seconds / every_s))
        match self.pattern:
            case "poisson":
                return poisson(every_s, count, seed=seed)
            case "bursty":
                return bursty(every_s, count, burst=self.burst, seed=seed)
            case _:
                return periodic(every_s, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingScenario:
    """Several models that share a machine.

    Attributes:
        models: The models and their requests.
        policy: Which ready segment a free device runs next; empty for the policy that does best.
        seconds: How long requests are due.
    """

    models: tuple[ModelRequests, ...]
    policy: str = ""
    seconds: float = DEFAULT_SECONDS


class _ModelTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    model: str
    every: str = ""
    pattern: Literal["periodic", "poisson", "bursty"] = "periodic"
    burst: int = 4
    trace: str = ""
    deadline: str = ""
    priority: int = 0
    plans: list[str] = []
    profile: str = ""
    max_waiting: int = 64
    drop_late: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    models: dict[str, _ModelTable]
    policy: str = ""
    seconds: float = DEFAULT_SECONDS


class _BandModel(msgspec.Struct):
    graph: str
    period_ms: float = 0.0
    slo_us: float = 0.0


class _BandFile(msgspec.Struct):
    models: list[_BandModel]
    running_time_ms: float = 1e3 * DEFAULT_SECONDS


def load_scenario(path: Path) -> ServingScenario:
    """Read a scenario; a file that ends in ``.json`` is one of Band's.

    Raises:
        ProblemError: If the file is missing or malformed, or a figure is out of range.
    """
    try:
        text = read_bounded(path).decode()
        if path.suffix == ".json":
            return _from_band(msgspec.json.decode(text, type=_BandFile), path)
        return _from_file(msgspec.convert(tomllib.loads(text), _File), path)
    except OSError as error:
        raise ProblemError(f"cannot read scenario {path}: {error.strerror}; give a TOML file") from None
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(f"scenario {path} is malformed: {error}") from None


def _from_file(content: _File, path: Path) -> ServingScenario:
    if not content.models:
        raise ProblemError(f"scenario {path} has no model; add a table such as [models.detector]")
    if content.policy and content.policy not in POLICIES:
        raise ProblemError(f"scenario {path}: policy {content.policy!r}; choose from {', '.join(POLICIES)}")
    if not 0 < content.seconds < math.inf:
        raise ProblemError(f"scenario {path}: seconds is {content.seconds}; give a number above 0")
    models = tuple(_model(name, table, path) for name, table in content.models.items())
    return ServingScenario(models=models, policy=content.policy, seconds=content.seconds)


def _model(name: str, table: _ModelTable, path: Path) -> ModelRequests:
    where = f"scenario {path}: models.{name}"
    if bool(table.every) == bool(table.trace):
        raise ProblemError(f"{where} needs either every or trace; give one of the two")
    every_s = parse_time_s(table.every, f"{where}.every") if table.every else 0.0
    times_s = _trace(path.parent / table.trace) if table.trace else ()
    if times_s:
        every_s = max(times_s[-1] - times_s[0], 1e-9) / max(1, len(times_s) - 1)
    if table.burst < 1:
        raise ProblemError(f"{where}.burst is {table.burst}; give 1 or more")
    return ModelRequests(
        name=name,
        model=table.model if not table.model.endswith(".onnx") else str(path.parent / table.model),
        every_s=every_s,
        pattern=table.pattern,
        burst=table.burst,
        times_s=times_s,
        deadline_s=parse_time_s(table.deadline, f"{where}.deadline") if table.deadline else every_s,
        priority=table.priority,
        plans=tuple(path.parent / plan for plan in table.plans),
        profile=path.parent / table.profile if table.profile else None,
        max_waiting=table.max_waiting,
        drop_late=table.drop_late,
    )


def _trace(path: Path) -> tuple[float, ...]:
    """Arrival times in a text file: seconds, one a line; ``#`` begins a comment."""
    try:
        lines = read_bounded(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ProblemError(f"cannot read arrivals {path}: {error}; give seconds, one a line") from None
    times_s: list[float] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            time_s = float(text)
        except ValueError:
            raise ProblemError(f"arrivals {path}, line {number}: {text!r} is no number of seconds") from None
        if not (times_s[-1] if times_s else 0.0) <= time_s < math.inf:
            raise ProblemError(f"arrivals {path}, line {number}: {text} s; times must be finite and ascend from 0")
        times_s.append(time_s)
    if not times_s:
        raise ProblemError(f"arrivals {path} has no time; give seconds, one a line")
    return tuple(times_s)


def _from_band(content: _BandFile, path: Path) -> ServingScenario:
    if not content.models:
        raise ProblemError(f"scenario {path} has no model; list some under models")
    models = []
    for number, one in enumerate(content.models):
        if not 0 < one.period_ms < math.inf:
            raise ProblemError(f"scenario {path}: models[{number}].period_ms is {one.period_ms}; give a number above 0")
        if not 0 <= one.slo_us < math.inf:
            raise ProblemError(f"scenario {path}: models[{number}].slo_us is {one.slo_us}; give 0 or more")
        stem = Path(one.graph).stem
        taken = sum(Path(other.graph).stem == stem for other in content.models[:number])
        models.append(
            ModelRequests(
                name=f"{stem}-{taken + 1}" if taken else stem,
                model=str(path.parent / one.graph) if one.graph.endswith(".onnx") else one.graph,
                every_s=one.period_ms * 1e-3,
                deadline_s=(one.slo_us * 1e-6) or one.period_ms * 1e-3,
            )
        )
    return ServingScenario(models=tuple(models), seconds=content.running_time_ms * 1e-3)
