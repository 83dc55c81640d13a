"""Costs of segments from a profile: measured where there are measurements, predicted elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from statistics import median

from hetsim.core.graph import Graph
from hetsim.core.problem import Latency
from hetsim.costs.fitting.additive_medians import AdditiveMedians, interference_free_medians
from hetsim.costs.fitting.predictor import LeftOut, Predictor
from hetsim.costs.fitting.transfer_costs import TransferCosts, find_border
from hetsim.costs.profile import Context, Profile

_LEAST_OWN = 0.1
"""The lowest fraction of a segment's time that is its own, however large the fitted cross-device access costs are."""


class SegmentCosts:
    """Costs for a :class:`~hetsim.core.problem.Problem`; later additions to the profile do not change them.

    A measured segment costs the median over its contexts of the additive median less the cross-device access costs in
    that context. If it has contexts of final measurements, only these count. Any other segment is predicted from the
    measured ones (:mod:`hetsim.costs.fitting.predictor`). A device cannot run a segment if it refused some of its
    operators, or if one of them was never measured there.

    Args:
        profile: The profile.
        graph: The model's graph.
        launch_s: By device, its launch cost in seconds; absent devices count as 0.
        transfer_costs: By device, its cross-device access costs; absent devices pay nothing.
        times: The profile's additive medians without interference, if they are known already.
    """

    def __init__(
        self,
        profile: Profile,
        graph: Graph,
        launch_s: Mapping[str, float] | None = None,
        transfer_costs: Mapping[str, TransferCosts] | None = None,
        *,
        times: AdditiveMedians | None = None,
    ) -> None:
        self._graph = graph
        self._launch_s = dict(launch_s or {})
        self._measured_s: dict[str, dict[tuple[str, ...], float]] = {}
        self._refused: dict[str, list[int]] = {}
        self._predictors: dict[str, Predictor] = {}
        self._factors: dict[str, float] = {}
        times = times or interference_free_medians(profile)
        for device in profile.header.engines:
            own = (transfer_costs or {}).get(device, TransferCosts())
            self._measured_s[device] = {
                ops: self._local_cost_s(ops, profile.contexts(device, ops), times[device, ops], own)
                for ops in profile.measured(device)
                if all(op in graph.position for op in ops)
            }
            self._refused[device] = [
                graph.mask(ops) for ops in profile.unsupported(device) if all(op in graph.position for op in ops)
            ]

    def __call__(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        measured_s = self._measured_s.get(device)
        if not measured_s:
            return None
        if ops in measured_s:
            return Latency(measured_s[ops], measured=True)
        if self.refuses(device, ops):
            return None
        predictor = self.predictor(device)
        return Latency(predictor.seconds(ops) * self._factors.get(device, 1.0)) if predictor.can_predict(ops) else None

    def measured(self, device: str, ops: tuple[str, ...]) -> Latency | None:
        """The latency of a segment that was measured; None for any other one."""
        seconds = self._measured_s.get(device, {}).get(ops)
        return None if seconds is None else Latency(seconds, measured=True)

    def refuses(self, device: str, ops: tuple[str, ...]) -> bool:
        """Whether the device refused the segment, or some of its operators."""
        outside = ~self._graph.mask(ops)
        return any(refused & outside == 0 for refused in self._refused.get(device, ()))

    @property
    def factors(self) -> Mapping[str, float]:
        """By device, the factor of its predictions; absent ones have none."""
        return self._factors

    def error_s(self, device: str, ops: tuple[str, ...]) -> float:
        """The standard error of a prediction in seconds; 0 where the segment is measured or cannot run."""
        latency = self(device, ops)
        return 0.0 if latency is None or latency.measured else self.predictor(device).error_s(ops)

    def shifted(self, num_sigmas: float) -> SegmentCosts:
        """The costs with each prediction multiplied by 1 + ``num_sigmas`` * sigma, but at least by 0.5.

        A device's sigma is the median absolute relative error of its predictions with one measurement left out.
        """
        other = copy(self)
        other._factors = {
            device: max(0.5, 1.0 + num_sigmas * median(abs(one.relative_error) for one in left_out))
            for device, left_out in self.left_out.items()
            if left_out
        }
        return other

    def _local_cost_s(
        self,
        ops: tuple[str, ...],
        contexts: Mapping[str, Context],
        times: Mapping[str, float],
        transfer_costs: TransferCosts,
    ) -> float:
        """What a segment takes with all its tensors device-local, in seconds."""
        border = find_border(self._graph, ops)
        beside = {name: context for name, context in contexts.items() if name.startswith("final:")}
        return median(
            max(
                _LEAST_OWN * times[name],
                times[name] - transfer_costs.seconds(border, context.read_bytes, context.written_bytes),
            )
            for name, context in (beside or contexts).items()
        )

    def predictor(self, device: str) -> Predictor:
        """The device's predictor, which is fitted at the first call.

        Raises:
            KeyError: If nothing was measured on the device.
        """
        if device not in self._predictors:
            measured_s = self._measured_s[device]
            self._predictors[device] = Predictor(self._graph, measured_s, self._launch_s.get(device, 0.0))
        return self._predictors[device]

    @property
    def left_out(self) -> dict[str, tuple[LeftOut, ...]]:
        """By device, the prediction of each measured segment of several operators from all other measurements."""
        return {device: self.predictor(device).left_out() for device, found in self._measured_s.items() if found}
