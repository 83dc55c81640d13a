"""Measured durations of segments on devices: raw samples, and the context that each was measured in.

A profile holds for one model, one machine and one set of engines, which its header names. In its file the header is the
first line and every further line is one record (:mod:`hetsim.costs.profile_file`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from hetsim.core.plan import Axis, Split
from hetsim.core.statistics import Summary, summarize

FORMAT = 4


class Header(msgspec.Struct, tag_field="record", tag="header", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a profile was measured on.

    Attributes:
        model: Name of the model.
        model_hash: Its hash.
        machine: The machine's fingerprint.
        engines: By device, the engine, its version and its settings.
        date: When the profile was begun, ISO 8601, UTC.
        format: Version of the file format.
    """

    model: str
    model_hash: str
    machine: str
    engines: dict[str, str]
    date: str
    format: int = FORMAT


class Samples(msgspec.Struct, tag_field="record", tag="samples", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Durations of one segment on one device, measured in one context.

    Attributes:
        device: Name of the device.
        ops: The segment's operators in topological order.
        context: What ran before and after the segment, which decides the state of the caches: ``"configuration:NAME"``
            for serial runs of the whole model in a division that does not depend on costs; for serial runs of a plan of
            that digest ``"explored:N:DIGEST"`` while profiling, ``"replay:DIGEST"`` on its own, and ``"final:DIGEST"``
            in interleaved rounds with its parallel execution.
        samples_s: Raw durations in seconds, in the order in which they were taken; at least one, all positive.
        shared: The tensors that the segment read or made in that context and that segments of other devices accessed.

    Raises:
        ValueError: If an operator or a duration is missing, or a duration is not positive.
    """

    device: str
    ops: tuple[str, ...]
    context: str
    samples_s: tuple[float, ...]
    shared: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ops or not self.samples_s:
            raise ValueError("a record of samples needs at least one operator and one duration")
        if not all(0 < sample < 1e6 for sample in self.samples_s):  # NaN fails too
            raise ValueError("a duration is not a positive number of seconds")


class SerialRuns(
    msgspec.Struct, tag_field="record", tag="serial-runs", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """How fast a device's core and its hand-overs were during the serial runs of one context, whose samples follow.

    Attributes:
        device: Name of the device.
        context: As that of the samples.
        speed_probe_s: The speed probe after each serial run: the time of a fixed piece of arithmetic on the device's
            core, in seconds; as many as there are samples, all positive.
        transfer_probe_s: The time to read a block of fixed size that another device has just written, after each serial
            run, in seconds, all positive; empty where no other device took part.
        splits: The rewrites of the plan that was run: operators, axis and boundaries of each split.

    Raises:
        ValueError: If a duration is not positive.
    """

    device: str
    context: str
    speed_probe_s: tuple[float, ...]
    transfer_probe_s: tuple[float, ...] = ()
    splits: tuple[tuple[tuple[str, ...], Axis, tuple[int, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not all(0 < seconds < 1e6 for seconds in (*self.speed_probe_s, *self.transfer_probe_s)):  # NaN fails too
            raise ValueError("a duration is not a positive number of seconds")


class Unsupported(
    msgspec.Struct, tag_field="record", tag="unsupported", frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Operators that a device's engine refused.

    Attributes:
        device: Name of the device.
        ops: The operators.
        reason: What the engine said, in one line.
        alone: Whether it refused them only as a segment of their own; otherwise it refuses all segments with them.
    """

    device: str
    ops: tuple[str, ...]
    reason: str
    alone: bool = False


class CoRun(msgspec.Struct, tag_field="record", tag="co-run", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a segment ran while every device ran it at the same time.

    Attributes:
        device: Name of the device.
        ops: The segment's operators in topological order.
        num_devices: How many devices ran it.
        speeds: By run, its speed as a fraction of its speed alone; above 0, at most 1.

    Raises:
        ValueError: If there is no run, or a speed is out of range.
    """

    device: str
    ops: tuple[str, ...]
    num_devices: int
    speeds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.ops or not self.speeds or self.num_devices < 1:
            raise ValueError("a co-run needs at least one operator, one device and one speed")
        if not all(0 < speed <= 1 for speed in self.speeds):  # NaN fails too
            raise ValueError("a speed is not above 0 and at most 1")


Measured = Samples | SerialRuns | Unsupported | CoRun
Record = Header | Measured
Key = tuple[str, tuple[str, ...]]


@dataclass(slots=True)
class Context:
    """What was measured of one segment in one context.

    Attributes:
        samples_s: Raw durations in seconds, in the order in which they were taken.
        shared: The tensors that it read or made there and that segments of other devices accessed.
    """

    samples_s: list[float]
    shared: tuple[str, ...]


@dataclass(kw_only=True)
class Profile:
    """Samples by (device, operators) and context, all from one model on one machine.

    Attributes:
        header: What was measured on.
        revision: How many records were added so far.
        fitted: Cache of the costs that were fitted to it, with what they depend on.
    """

    header: Header
    revision: int = 0
    fitted: tuple[object, object] | None = field(default=None, repr=False, compare=False)
    _contexts: dict[Key, dict[str, Context]] = field(default_factory=dict, repr=False)
    _unsupported: dict[Key, str] = field(default_factory=dict, repr=False)
    _refused_alone: dict[Key, str] = field(default_factory=dict, repr=False)
    _co_runs: dict[Key, CoRun] = field(default_factory=dict, repr=False)
    _speed_probes_s: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict, repr=False)
    _transfer_probes_s: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict, repr=False)
    _splits: dict[str, tuple[Split, ...]] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        devices = ", ".join(self.header.engines)
        return (
            f"<Profile of {self.header.model!r} on {devices}: {self.num_segments} segments, {self.num_samples} samples>"
        )

    def add(self, record: Measured) -> None:
        """Add one record.

        The last co-run of a segment replaces earlier ones. Samples of a known segment and context are appended; those
        of a ``final`` context replace earlier ones, since they belong to one set of executions. A record of serial runs
        of a configuration or a final removes the earlier samples of that context.
        """
        self.revision += 1
        if isinstance(record, SerialRuns):
            key = (record.device, record.context)
            if not record.context.startswith("replay:"):
                self._drop(*key)
            self._speed_probes_s[key] = (*self._speed_probes_s.get(key, ()), *record.speed_probe_s)
            self._transfer_probes_s[key] = (*self._transfer_probes_s.get(key, ()), *record.transfer_probe_s)
            if record.splits:
                self._splits[record.context] = tuple(Split(*each) for each in record.splits)
            return
        segment = (record.device, record.ops)
        if isinstance(record, Unsupported):
            (self._refused_alone if record.alone else self._unsupported)[segment] = record.reason
        elif isinstance(record, CoRun):
            self._co_runs[segment] = record
        else:
            contexts = self._contexts.setdefault(segment, {})
            if record.context not in contexts or record.context.startswith("final:"):
                contexts[record.context] = Context([], record.shared)
            contexts[record.context].samples_s.extend(record.samples_s)

    def samples_s(self, device: str, ops: tuple[str, ...], context: str | None = None) -> tuple[float, ...]:
        """Raw durations of a segment in seconds: of one context, or of all of them together."""
        contexts = self.contexts(device, ops)
        if context is not None:
            return tuple(contexts[context].samples_s) if context in contexts else ()
        return tuple(sample for one in contexts.values() for sample in one.samples_s)

    def contexts(self, device: str, ops: tuple[str, ...]) -> Mapping[str, Context]:
        """What was measured of a segment, by context; empty where nothing was."""
        return self._contexts.get((device, ops), {})

    def co_run(self, device: str, ops: tuple[str, ...]) -> CoRun | None:
        """The co-run of a segment, or None where there is none."""
        return self._co_runs.get((device, ops))

    def speed_probes_s(self, device: str) -> Mapping[str, tuple[float, ...]]:
        """By context, the device's speed probe after each serial run, in seconds; contexts may have none."""
        return {context: found for (name, context), found in self._speed_probes_s.items() if name == device}

    def transfer_probes_s(self, device: str) -> Mapping[str, tuple[float, ...]]:
        """By context in which the device shared tensors, its transfer probe after each serial run, in seconds."""
        return {
            context: found for (name, context), found in self._transfer_probes_s.items() if name == device and found
        }

    def splits(self, context: str) -> tuple[Split, ...]:
        """The rewrites of the plan that was run in a context."""
        return self._splits.get(context, ())

    def contexts_named(self, beginning: str) -> tuple[str, ...]:
        """The contexts of serial runs whose names begin so."""
        return tuple(dict.fromkeys(name for _, name in self._speed_probes_s if name.startswith(beginning)))

    def without(self, plan_digest: str) -> Profile:
        """The profile without all measurements of that plan."""
        return self.only(lambda context: not context.endswith(f":{plan_digest}"))

    def beside_executions(self) -> Profile:
        """The profile with only the serial runs of final measurements, in interleaved rounds with executions."""
        return self.only(lambda context: context.startswith("final:"))

    def only(self, wanted: Callable[[str], bool]) -> Profile:
        """The profile with only the contexts of wanted names."""
        wanted_contexts = {
            key: {name: context for name, context in contexts.items() if wanted(name)}
            for key, contexts in self._contexts.items()
        }
        return Profile(
            header=self.header,
            _contexts={key: contexts for key, contexts in wanted_contexts.items() if contexts},
            _unsupported=dict(self._unsupported),
            _refused_alone=dict(self._refused_alone),
            _co_runs=dict(self._co_runs),
            _speed_probes_s={key: found for key, found in self._speed_probes_s.items() if wanted(key[1])},
            _transfer_probes_s={key: found for key, found in self._transfer_probes_s.items() if wanted(key[1])},
            _splits=dict(self._splits),
        )

    def summary(self, device: str, ops: tuple[str, ...], context: str | None = None) -> Summary | None:
        """Median and interval of a segment, or None where it was not measured."""
        samples = self.samples_s(device, ops, context)
        return summarize(samples) if samples else None

    def segments(self) -> tuple[Key, ...]:
        """Device and operators of every segment that was measured, in the order in which they came."""
        return tuple(self._contexts)

    def measured(self, device: str) -> tuple[tuple[str, ...], ...]:
        """The segments measured on a device, in the order in which they came."""
        return tuple(ops for name, ops in self._contexts if name == device)

    def unsupported(self, device: str) -> Mapping[tuple[str, ...], str]:
        """By operators that the device's engine refused in any segment, its reason."""
        return {ops: reason for (name, ops), reason in self._unsupported.items() if name == device}

    def refused_alone(self, device: str) -> Mapping[tuple[str, ...], str]:
        """By segment that the device's engine refused, but may take as part of a larger one, its reason."""
        return {ops: reason for (name, ops), reason in self._refused_alone.items() if name == device}

    def _drop(self, device: str, context: str) -> None:
        """Remove the samples of one context on one device, and segments without any others."""
        self._speed_probes_s.pop((device, context), None)
        self._transfer_probes_s.pop((device, context), None)
        for key in [key for key, contexts in self._contexts.items() if key[0] == device and context in contexts]:
            del self._contexts[key][context]
            if not self._contexts[key]:
                del self._contexts[key]

    @property
    def num_samples(self) -> int:
        """Number of raw durations."""
        return sum(len(one.samples_s) for contexts in self._contexts.values() for one in contexts.values())

    @property
    def num_segments(self) -> int:
        """Number of segments with samples; a segment counts once for each device."""
        return len(self._contexts)
