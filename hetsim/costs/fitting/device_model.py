"""Costs of segments on one device, measured and predicted by one regression."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from hetsim.core.graph import Graph
from hetsim.core.problem import PartWork
from hetsim.costs.fitting.features import Neighbourhood, copy_term, sharing_terms
from hetsim.costs.fitting.regression import Regression, Term, merged
from hetsim.costs.fitting.shared_tensors import SharedTensor
from hetsim.costs.parts import is_whole

_NOISE, _NOISE_S = 0.015, 5e-6
"""Standard error of a segment's time in one context, as a fraction of it and in seconds; the two are added."""
_OWN, _OWN_S = 0.03, 1e-5
"""The same of what a segment takes against the sum of its terms, in all contexts."""
_OWN_PART = 0.1
"""The same fraction for segments with parts of operators: shares say little of what kernels make of a part."""
_CONTEXT = 0.02
"""By which fraction all segments of one context are slower or faster together: the machine is not always the same."""
_LOAD = 0.02
"""By which fraction a plan takes longer or shorter each time that it is loaded, as its memory lies elsewhere."""
_SEARCHED = 0.05
"""By which fraction plans that a search found may take longer than their parts promise. A search picks plans whose
costs err low (the winner's curse), so how far they err is learned from such plans alone."""
MIN_LEFT_OUT = 8
"""Standard errors are scaled to the observed leave-one-out errors of segments of several operators if there are at
least this many."""
_LEAST, _LEAST_MEASURED = 0.1, 0.5
"""The lowest prediction: this fraction of the sum of the operators' times alone, or that of the least measured one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a segment took in one context.

    Attributes:
        ops: The segment; names the segment, whatever model it belongs to.
        work: What it computes.
        context: Where it was measured.
        is_searched: Whether a plan was run there that a search found.
        shared: The tensors that it shared with other devices there.
        sharing_factor: How many times as long as usual that took there.
        seconds: What it took.
    """

    ops: tuple[str, ...]
    work: PartWork
    context: str
    is_searched: bool
    shared: tuple[SharedTensor, ...]
    sharing_factor: float = 1.0
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """The prediction of a measurement from all other measurements.

    Attributes:
        ops: The segment.
        measured_s: What it took.
        predicted_s: The prediction.
    """

    ops: tuple[str, ...]
    measured_s: float
    predicted_s: float

    @property
    def relative_error(self) -> float:
        """The prediction over the measured time, less 1."""
        return self.predicted_s / self.measured_s - 1


class DeviceModel:
    """What segments take on one device.

    Args:
        graph: The graph of the model, not rewritten.
        observations: What was measured; at least one.
        launch_s: The device's launch cost in seconds.
        calibrated_s_per_byte: What a byte of a shared tensor costs to read and to write by calibration.
    """

    def __init__(
        self,
        graph: Graph,
        observations: Sequence[Observation],
        launch_s: float,
        calibrated_s_per_byte: tuple[float, float],
    ) -> None:
        self._is_picked = True
        self._graph = graph
        self._launch_s = launch_s
        self._calibrated = calibrated_s_per_byte
        self._alone_s = _alone_s(graph, observations)
        self._neighbourhood = Neighbourhood(graph, self._alone_s)
        self._near = self._neighbourhood.near
        self._least = min(_LEAST, _LEAST_MEASURED * min(map(self._fraction_of_alone, observations)))
        self._summands: dict[tuple[int, int], float] = {}
        by_segment: dict[tuple[str, ...], list[float]] = {}
        for one in observations:
            by_segment.setdefault(one.ops, []).append(one.seconds)
        self.measured: Mapping[tuple[str, ...], float] = {ops: median(each) for ops, each in by_segment.items()}
        seconds = np.array([one.seconds for one in observations])
        rows = [
            merged(
                (
                    *self._terms(one.work, one.shared, one.sharing_factor),
                    _own(one.ops, self.measured[one.ops], one.work),
                    Term(("context", one.context), one.seconds, 0.0, _CONTEXT),
                    self._searched(one.work, one.seconds if one.is_searched else 0.0),
                )
            )
            for one in observations
        ]
        self._regression = Regression(rows, seconds - launch_s, _NOISE * seconds + _NOISE_S)
        predicted, errors = self._regression.left_out()
        self._observed, self._left_out_s = observations, predicted + launch_s
        several = np.array([len(one.ops) > 1 for one in observations])  # an operator alone is a feature of itself
        z = ((self._left_out_s - seconds) / errors)[several]
        self._scale = float(np.sqrt(np.mean(z**2))) if len(z) >= MIN_LEFT_OUT else 1.0

    def _fraction_of_alone(self, one: Observation) -> float:
        """What a segment took, as a fraction of the sum of what its operators take alone."""
        alone_s = sum(share * self._alone_s[op] for op, share in one.work.shares.items())
        return one.seconds / alone_s if alone_s else 1.0

    def can_predict(self, work: PartWork) -> bool:
        """Whether each of the operators was measured, alone, in a larger segment or in part."""
        return all(op in self._alone_s for op in work.shares)

    def seconds(self, ops: tuple[str, ...], work: PartWork) -> float:
        """What a segment takes with all its tensors device-local, in seconds."""
        total_s = self._launch_s
        graph, near, summands = self._graph, self._near, self._summands
        mask = graph.mask(work.shares)
        least_s = 0.0
        for op, share in work.shares.items():
            i = graph.position[op]
            key = i, mask & near[i]
            found = summands.get(key)
            if found is None:
                found = summands[key] = self._regression.value(self._neighbourhood.terms(i, mask))
            total_s += share * found
            least_s += share * self._alone_s[op]
        if work.copied_bytes:
            total_s += self._regression.value([copy_term(work.copied_bytes)])
        if ops in self.measured:
            total_s += self._regression.value([_own(ops, self.measured[ops], work)])
        total_s += self._regression.value([self._searched(work, total_s)])
        return max(total_s, self._least * least_s)

    def sharing_s(self, tensor: SharedTensor) -> float:
        """What a segment takes longer if it shares a tensor, in seconds."""
        return max(0.0, self._regression.value(sharing_terms(tensor, self._calibrated[tensor.is_made])))

    def row(
        self, segments: Iterable[tuple[tuple[str, ...], PartWork, Sequence[SharedTensor]]], context: str
    ) -> dict[Hashable, Term]:
        """The terms of segments that run in one context, own effects included."""
        terms: list[Term] = []
        for ops, work, shared in segments:
            seconds = self.seconds(ops, work) + sum(map(self.sharing_s, shared))
            own = _own(ops, self.measured.get(ops, seconds), work)
            terms += [
                *self._terms(work, shared),
                own,
                Term(("context", context), seconds, 0.0, _CONTEXT),
                self._searched(work, seconds),
            ]
        return merged(terms)

    def error_s(self, row: Mapping[Hashable, Term]) -> float:
        """The standard error of a sum of terms, in seconds. Takes about a millisecond with a thousand measurements."""
        total_s = sum(abs(term.value) for key, term in row.items() if isinstance(key, tuple) and key[0] == "context")
        return math.hypot(self._scale * math.sqrt(self._regression.variance(row)), _LOAD * total_s)

    def left_out(self) -> tuple[LeftOut, ...]:
        """The prediction of each measurement of a segment of several operators from all other measurements."""
        return tuple(
            LeftOut(ops=one.ops, measured_s=one.seconds, predicted_s=float(predicted_s))
            for one, predicted_s in zip(self._observed, self._left_out_s, strict=True)
            if len(one.ops) > 1
        )

    def unpicked(self) -> DeviceModel:
        """The same for plans that no search picked."""
        other = copy(self)
        other._is_picked = False
        return other

    def sampled(self, generator: np.random.Generator) -> DeviceModel:
        """The same with all unknown coefficients drawn from what is known of them."""
        other = copy(self)
        other._regression = self._regression.sampled(generator)
        other._summands = {}
        return other

    def _searched(self, work: PartWork, seconds: float) -> Term:
        """What a segment of a plan that a search found takes longer; no search finds the whole model on one device."""
        is_model = len(work.shares) == len(self._graph.ops) and not work.has_parts
        return Term(("searched",), seconds if self._is_picked and not is_model else 0.0, 0.0, _SEARCHED)

    def _terms(self, work: PartWork, shared: Iterable[SharedTensor], sharing_factor: float = 1.0) -> Iterator[Term]:
        mask = self._graph.mask(work.shares)
        for op, share in work.shares.items():
            yield from _scaled(self._neighbourhood.terms(self._graph.position[op], mask), share)
        if work.copied_bytes:
            yield copy_term(work.copied_bytes)
        for tensor in shared:
            yield from _scaled(sharing_terms(tensor, self._calibrated[tensor.is_made]), sharing_factor)


def _scaled(terms: Iterable[Term], factor: float) -> Iterable[Term]:
    return terms if factor == 1.0 else (replace(term, value=factor * term.value) for term in terms)


def _own(ops: tuple[str, ...], seconds: float, work: PartWork) -> Term:
    fraction = _OWN_PART if work.has_parts else _OWN
    return Term(("segment", ops), 1.0, 0.0, fraction * seconds + _OWN_S)


def _alone_s(graph: Graph, observations: Sequence[Observation]) -> dict[str, float]:
    """By operator, its time alone; without a measurement of that, the least of its equal shares of segments."""
    least: dict[str, float] = {}
    alone: dict[str, list[float]] = {}
    alone_shared: dict[str, list[float]] = {}
    for one in observations:
        shares = one.work.shares
        if len(shares) == 1 and is_whole(one.work):
            (alone_shared if one.shared else alone).setdefault(next(iter(shares)), []).append(one.seconds)
        for op, share in shares.items():
            least[op] = min(least.get(op, math.inf), one.seconds / len(shares) / share)
    found = least | {op: median(seconds) for op, seconds in alone_shared.items()}
    found |= {op: median(seconds) for op, seconds in alone.items()}
    return {op.name: found[op.name] for op in graph.ops if op.name in found}
