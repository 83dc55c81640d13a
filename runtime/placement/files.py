"""The files of a placement: settings for its run.py, and a report of what runs where and what is lost.

docs/placements.md documents each key.
"""

from __future__ import annotations

import msgspec

FORMAT = "hetsim-placement"
VERSION = 1


class ProviderEntry(msgspec.Struct, frozen=True, kw_only=True):
    """ONNX Runtime's provider of a device: ``package`` brings it as a plugin, if any does."""

    device: str
    provider: str
    package: str
    hardware: str
    options: dict[str, str]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What run.py needs to know. The first block is for both engines, then come ONNX Runtime's and OpenVINO's own."""

    format: str = FORMAT
    version: int = VERSION
    target: str
    made_by: str
    model: str
    model_hash: str
    plan_digest: str
    threads: int
    cores: tuple[int, ...]
    tolerance: float
    session_config: dict[str, str] = {}
    providers: tuple[ProviderEntry, ...] = ()
    device: str = ""
    targets: dict[str, str] = {}
    plugins: dict[str, str] = {}
    properties: dict[str, dict[str, str]] = {}
    outputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format!r}, not {FORMAT!r}")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What run.py says with ``--json``: the engine's own report of the placement, latencies, and the outputs' error.

    ``nodes`` are providers by node (ONNX Runtime) or numbers of subgraphs by node (OpenVINO). ``absent`` are reasons by
    device that is not here.
    """

    engine: str
    absent: dict[str, str]
    nodes: dict[str, str | int]
    latencies_s: tuple[float, ...]
    cpu_times_s: tuple[float, ...]
    error: float
    tolerance: float
    providers: tuple[str, ...] = ()
    execution_devices: tuple[str, ...] = ()
    num_submodels: int = 0
    num_affinities_in_file: int = 0
    supported: dict[str, tuple[str, ...]] = {}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A node of which the engine's report differs from the plan: where it should run, where it does, and why.

    ``found`` is empty where the engine reports no such node.
    """

    node: str
    kind: str
    device: str
    planned: str
    found: str
    reason: str


class Latency(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The latency of one inference as the engine executes the placement, in seconds.

    ``simulated_s`` is None where there is no profile, or no measured device of the platform is what runs there;
    ``why_not_simulated`` says which. ``planned_s`` is that of hetsim's own
    runtime, in which devices overlap, as simulated. The interval is the measured median's, of 95 %. ``cpu_s``
    is the median processor time of all threads; with one thread, what is missing to the latency went to other programs.
    """

    measured_s: float
    cpu_s: float
    low_s: float
    high_s: float
    num_runs: int
    simulated_s: float | None = None
    why_not_simulated: str = ""
    num_segments: int = 0
    simulated_on: dict[str, str] = {}
    planned_s: float | None = None

    @property
    def error(self) -> float | None:
        """By what part of the measured latency the simulated one is more (above 0) or less than it."""
        return None if self.simulated_s is None else self.simulated_s / self.measured_s - 1


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a plan in an engine: nodes as planned, differences, what is lost, and the latency."""

    target: str
    engine: str
    model: str
    plan_digest: str
    devices: dict[str, str]
    num_nodes: int
    num_as_planned: int
    differences: tuple[Difference, ...]
    lost: tuple[str, ...]
    latency: Latency
    output_error: float
    tolerance: float


def encode(value: Settings | Report) -> bytes:
    """The value as JSON that people can read."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
