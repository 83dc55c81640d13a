"""Cross-device access costs: what a segment pays to read or write tensors that it shares with another device.

Devices that share a memory copy nothing at a hand-over, but the tensor's bytes are in the other core's cache: the
reader loads them from there, and the writer of the next inference takes the cache lines back. A device that computes in
another format also converts them, for some kinds of operators. All this is part of the time of the segment that does
it. So the same segment takes longer in a plan where its tensors cross between devices, by about

    read * (bytes it reads that another device wrote) + written * (bytes it writes that another device reads)

with costs, in seconds per byte, of the device and of the kinds of operators at the segment's border. Every measurement
records how many bytes crossed, so the costs are fitted to segments that were measured with different numbers of them,
by the differences from each segment's own mean. The fit is a regression with normal priors, as in
:mod:`hetsim.costs.fitting.predictor`: what a kind adds to the device's common cost has a prior mean of 0.

Calibration measures the sum of reading and writing as the cost of a byte on a zero-copy link, since each device of its
chain reads what another wrote and writes what another reads (:mod:`hetsim.runtime.measure.calibrate`). Half of it is
the prior mean of either cost. The fit is often lower: the tensor of the calibration fits a core's own cache, and larger
ones come from the cache that all cores share, whichever device wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import numpy.typing as npt

from hetsim.core.graph import Graph
from hetsim.core.platform import Platform
from hetsim.costs.fitting.additive_medians import AdditiveMedians
from hetsim.costs.profile import Profile

MIN_CONTEXTS = 8
"""A device's costs are fitted if it has at least this many measurements with different numbers of bytes from or for
other devices.
"""

_SD_S_PER_BYTE = 1e-10
"""Prior standard deviation of a device's cost: a byte at 10 GB/s."""
_KIND_SD_S_PER_BYTE = 1e-11
"""Prior standard deviation of what a kind adds; with many measurements, ten times as much changes little."""
_NOISE = 0.03
"""Standard error of a segment's time, as a fraction of it."""
_NOISE_S = 2e-6
"""The same in seconds; the two are added."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """The kinds of operators at a segment's border, whether or not its neighbours are on other devices.

    Attributes:
        read_bytes: By kind of operator, the bytes that it reads and other segments write.
        written_bytes: By kind of operator, the bytes that it writes and other segments read.
    """

    read_bytes: Mapping[str, float]
    written_bytes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCosts:
    """The cross-device access costs of one device.

    Attributes:
        read_s_per_byte: For each byte that it reads and another device wrote, averaged over a network's tensors;
            non-negative.
        written_s_per_byte: For each byte that it writes and another device reads.
        read_by_kind: The same by the kind of operator that reads; absent kinds cost the average.
        written_by_kind: The same by the kind of operator that writes.
    """

    read_s_per_byte: float = 0.0
    written_s_per_byte: float = 0.0
    read_by_kind: Mapping[str, float] = field(default_factory=dict)
    written_by_kind: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, border: Border, read_bytes: int, written_bytes: int) -> float:
        """What these bytes add to the time of a segment with this border, in seconds."""
        read = _mean(self.read_by_kind, border.read_bytes, self.read_s_per_byte)
        written = _mean(self.written_by_kind, border.written_bytes, self.written_s_per_byte)
        return read * read_bytes + written * written_bytes


def find_border(graph: Graph, *segments: Iterable[str]) -> Border:
    """The border of a segment, or of several summed up; a tensor that several kinds read counts for each in part."""
    read: dict[str, float] = {}
    written: dict[str, float] = {}
    for inside in map(set, segments):
        for tensor in graph.inputs_of(inside):
            if tensor in graph.producer:
                kinds = dict.fromkeys(graph.by_name[op].kind for op in graph.consumers[tensor] if op in inside)
                for kind in kinds:
                    read[kind] = read.get(kind, 0.0) + graph.tensors[tensor].num_bytes / len(kinds)
        for tensor in graph.outputs_of(inside):
            if not inside.issuperset(graph.consumers[tensor]):  # a tensor that only the caller reads crosses no border
                kind = graph.by_name[graph.producer[tensor]].kind
                written[kind] = written.get(kind, 0.0) + graph.tensors[tensor].num_bytes
    return Border(read_bytes=read, written_bytes=written)


def fit_transfer_costs(
    profile: Profile, times: AdditiveMedians, platform: Platform, graphs: Sequence[Graph]
) -> dict[str, TransferCosts]:
    """By device of the profile, its cross-device access costs: from calibration, corrected by the profile.

    Args:
        profile: Gives the numbers of bytes that crossed.
        times: The additive medians of its segments.
        platform: The devices with their calibrated links.
        graphs: The graphs of the profile's segments; averages are over the tensors of the first.
    """
    all_tensors = find_border(graphs[0], *((op.name,) for op in graphs[0].ops))
    found: dict[str, TransferCosts] = {}
    for device in profile.header.engines:
        expected = calibrated_transfer_cost(platform, device)
        by_kind = _fit(_rows(profile, times, device, graphs), (expected.read_s_per_byte, expected.written_s_per_byte))
        if by_kind is None:
            found[device] = expected
            continue
        read, written = by_kind
        found[device] = TransferCosts(
            read_s_per_byte=_mean(read, all_tensors.read_bytes, read.pop("")),
            written_s_per_byte=_mean(written, all_tensors.written_bytes, written.pop("")),
            read_by_kind=read,
            written_by_kind=written,
        )
    return found


def calibrated_transfer_cost(platform: Platform, device: str) -> TransferCosts:
    """Half of the average cost of a byte on a device's zero-copy links with measured devices, as its two costs.

    Copies cost neither side anything, since they use a channel of their own.
    """
    others = [other.name for other in platform.devices if other.name != device and other.source is None]
    if not others or device not in platform.device_names:
        return TransferCosts()

    def half_s_per_byte(source: str, target: str) -> float:
        link = platform.link(source, target)
        return 0.5 / link.bandwidth_bytes_per_s if link.mode == "zero-copy" else 0.0

    return TransferCosts(
        read_s_per_byte=fmean(half_s_per_byte(other, device) for other in others),
        written_s_per_byte=fmean(half_s_per_byte(device, other) for other in others),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """How one context of a segment differs from the mean of all of its contexts.

    Attributes:
        border: The segment's border.
        read_bytes: Bytes that it reads from other devices, less their mean.
        written_bytes: The same for bytes that it writes.
        seconds: Its time, less the mean.
        noise_s: The standard error of the time.
    """

    border: Border
    read_bytes: float
    written_bytes: float
    seconds: float
    noise_s: float


def _rows(profile: Profile, times: AdditiveMedians, device: str, graphs: Sequence[Graph]) -> list[_Row]:
    """Rows of the segments measured with different numbers of bytes from or for other devices."""
    found: list[_Row] = []
    for ops in profile.measured(device):
        graph = next((graph for graph in graphs if all(op in graph.position for op in ops)), None)
        contexts = profile.contexts(device, ops)
        if graph is None or len({(one.read_bytes, one.written_bytes) for one in contexts.values()}) < 2:
            continue
        border = find_border(graph, ops)
        seconds = times[device, ops]
        met = np.array([(one.read_bytes, one.written_bytes, seconds[name]) for name, one in contexts.items()])
        noise_s = _NOISE * float(np.median(met[:, 2])) + _NOISE_S
        for read_bytes, written_bytes, longer_s in (met - met.mean(axis=0)).tolist():
            found.append(_Row(border, read_bytes, written_bytes, longer_s, noise_s))
    return found


def _fit(rows: Sequence[_Row], expected: tuple[float, float]) -> tuple[dict[str, float], dict[str, float]] | None:
    """Costs of reading and of writing by kind, under ``""`` for all other kinds; None from too few rows."""
    if len(rows) < MIN_CONTEXTS:
        return None
    column: dict[tuple[int, str], int] = {}
    entries: list[tuple[int, int, float]] = []
    for i, row in enumerate(rows):
        for side, num_bytes, parts in (
            (0, row.read_bytes, row.border.read_bytes),
            (1, row.written_bytes, row.border.written_bytes),
        ):
            total = sum(parts.values())
            for kind, share in (("", 1.0), *((kind, part / total) for kind, part in parts.items() if total)):
                place = column.setdefault((side, kind), len(column))
                entries.append((i, place, share * num_bytes * _sd(kind) / row.noise_s))
    # Unknowns are differences from prior means in standard deviations: each is one more observation of 0.
    design = np.zeros((len(rows) + len(column), len(column)))
    for i, place, value in entries:
        design[i, place] += value
    design[len(rows) :] = np.eye(len(column))
    expected_s = [row.read_bytes * expected[0] + row.written_bytes * expected[1] for row in rows]
    seen = [(row.seconds - at_first_s) / row.noise_s for row, at_first_s in zip(rows, expected_s, strict=True)]
    found = np.linalg.lstsq(design, np.array([*seen, *[0.0] * len(column)]), rcond=None)[0]
    sides: tuple[dict[str, float], dict[str, float]] = ({}, {})
    more = {key: float(found[place]) * _sd(key[1]) for key, place in column.items()}
    for side, kind in column:
        sides[side][kind] = max(0.0, expected[side] + more[side, ""] + (more[side, kind] if kind else 0.0))
    return sides


def _sd(kind: str) -> float:
    return _KIND_SD_S_PER_BYTE if kind else _SD_S_PER_BYTE


def _mean(by_kind: Mapping[str, float], num_bytes: Mapping[str, float], otherwise: float) -> float:
    """The mean of costs by kind, weighted by bytes."""
    total = sum(num_bytes.values())
    return sum(part * by_kind.get(kind, otherwise) for kind, part in num_bytes.items()) / total if total else otherwise
