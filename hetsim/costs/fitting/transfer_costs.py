"""What it costs that one device wrote what another reads, fitted to segments that were met both ways.

Where devices share a memory, nothing is copied when a tensor changes hands, but its bytes are in the other core's
cache: whoever reads them fetches them from there, and whoever writes them anew next time claims them back. A device
that computes in another format converts them as well, which some operators need and others do not. All this adds to
the time of the segment that does it. So the same segment takes longer in a plan where its tensors cross, by about

    read * (bytes it reads that another device wrote) + written * (bytes it writes that another device reads)

with figures, in seconds per byte, of the device and of the kinds of operators at the segment's border. Every
measurement says how many bytes crossed, so the figures follow from segments that were measured with more of them and
with fewer, by the differences from each segment's own mean. What a kind adds to what all of the device's kinds have in
common is expected to be near 0 until measurements say otherwise: a regression with normal priors, as in
:mod:`hetsim.costs.fitting.predictor`.

Calibration measures reading and writing at once, as what a byte takes on a zero-copy link, since each device of its
chain reads what another wrote and writes what another reads (:mod:`hetsim.runtime.measure.calibrate`). Half of it is
expected of either figure until measurements say otherwise. They often say less: calibration's tensor fits a core's own
cache, and what does not comes from the cache that all cores share, whoever wrote it.
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
"""A device's figures are fitted to at least so many measurements of segments that were met both ways."""

_SD_S_PER_BYTE = 1e-10
"""How far a device's figure may well be from calibration's, one standard deviation: a byte at 10 GB/s."""
_KIND_SD_S_PER_BYTE = 1e-11
"""How far what a kind adds may well be from 0; measurements are many, and ten times as much changes little."""
_NOISE = 0.03
"""How far a segment's time may well be from what is expected, one standard deviation: this part of it, and"""
_NOISE_S = 2e-6

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """Who reads and who makes what passes a segment's border, crossing or not.

    Attributes:
        read_bytes: By kind of operator, the bytes that it reads and other segments made.
        written_bytes: By kind of operator, the bytes that it makes and other segments read.
    """

    read_bytes: Mapping[str, float]
    written_bytes: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCosts:
    """What tensors that change hands cost one device.

    Attributes:
        read_s_per_byte: For each byte that it reads and another device wrote, on average over a network's tensors; 0
            or more.
        written_s_per_byte: For each byte that it writes and another device reads.
        read_by_kind: The same by the kind of operator that reads; kinds that are not there are average.
        written_by_kind: The same by the kind of operator that writes.
    """

    read_s_per_byte: float = 0.0
    written_s_per_byte: float = 0.0
    read_by_kind: Mapping[str, float] = field(default_factory=dict)
    written_by_kind: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, border: Border, read_bytes: int, written_bytes: int) -> float:
        """What so many bytes add to the time of a segment with this border."""
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
            if not inside.issuperset(graph.consumers[tensor]):  # the caller's alone is not read by others
                kind = graph.by_name[graph.producer[tensor]].kind
                written[kind] = written.get(kind, 0.0) + graph.tensors[tensor].num_bytes
    return Border(read_bytes=read, written_bytes=written)


def fit_transfer_costs(
    profile: Profile, times: AdditiveMedians, platform: Platform, graphs: Sequence[Graph]
) -> dict[str, TransferCosts]:
    """By device of the profile, what crossing costs it: as calibration says, until the profile says otherwise.

    Args:
        profile: Says how many bytes crossed.
        times: What its segments typically take.
        platform: The devices with their calibrated links.
        graphs: Of which the profile's segments are; averages are over the tensors of the first.
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
    """Half of what a byte takes on a device's zero-copy links with others that are measured, on average.

    Copies cost neither side anything, as they wait for a channel of their own.
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
        border: The segment's.
        read_bytes: Bytes read that crossed, less their mean.
        written_bytes: The same of bytes written.
        seconds: What it takes, less the mean.
        noise_s: How far that may be off.
    """

    border: Border
    read_bytes: float
    written_bytes: float
    seconds: float
    noise_s: float


def _rows(profile: Profile, times: AdditiveMedians, device: str, graphs: Sequence[Graph]) -> list[_Row]:
    """Of the device's segments that were met with different numbers of bytes crossing."""
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
    """Figures of reading and of writing by kind, under ``""`` those of kinds never met; None from too few rows."""
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
    # Unknowns are differences from what is expected, in standard deviations: each is one more observation of 0.
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
    """The mean of figures by kind, weighted by bytes."""
    total = sum(num_bytes.values())
    return sum(part * by_kind.get(kind, otherwise) for kind, part in num_bytes.items()) / total if total else otherwise
