"""Inputs that break what a plan rests on are refused when they are submitted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hetsim.core.errors import ModelError
from hetsim.core.graph import Graph
from hetsim.models.ranges.interval import is_float, is_integer, type_interval
from hetsim.models.ranges.propagation import ValueRanges
from hetsim.models.values.trust import Trust
from hetsim.runtime.backends.protocol import Array


class InputCheck:
    """Checks a plan's inputs; takes a few microseconds, and for large inputs as long as copying them.

    Args:
        graph: The model's graph.
        ranges: The values that its inputs are assumed to have.
        trust: What else is assumed.
        rests_on_finite: Whether a device computes a part of the plan that has been probed with finite floats alone.
    """

    def __init__(self, graph: Graph, ranges: ValueRanges, trust: Trust, *, rests_on_finite: bool) -> None:
        floats = [name for name in graph.inputs if is_float(graph.tensors[name].dtype)]
        self._finite = floats if trust.finite and rests_on_finite else []
        self._bounded = []
        for name in graph.inputs:
            dtype = graph.tensors[name].dtype
            if is_integer(dtype) and graph.tensors[name].num_bytes:
                held, nonzero = ranges.inputs[name], name in ranges.nonzero
                if nonzero or held != type_interval(dtype):
                    self._bounded.append((name, int(held.low), int(held.high), nonzero))

    def __call__(self, inputs: Mapping[str, Array]) -> None:
        """Check the inputs of one request.

        Raises:
            ModelError: If they break an assumption; names the input, the value and what to do.
        """
        for name in self._finite:
            array = np.asarray(inputs[name])
            # The extremes are not finite if any value is not, and take a third of the time to find.
            if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
                raise _not_finite(name, array)
        for name, low, high, nonzero in self._bounded:
            array = np.asarray(inputs[name])
            least, most = int(array.min()), int(array.max())
            if least < low or most > high:
                raise ModelError(
                    f"input {name!r} has the value {least if least < low else most}, but the plan rests on values from "
                    f"{low} to {high}; load it with another range, such as --range {name}={least}..{most}"
                )
            if nonzero and not array.all():
                raise ModelError(f"input {name!r} has zeros, but the model divides integers by it, which has no result")


def _not_finite(name: str, array: Array) -> ModelError:
    bad = array[~np.isfinite(array)]
    return ModelError(
        f"input {name!r} has {bad.size} value(s) that are not finite, the first {bad.flat[0]}, but the plan rests on "
        "finite ones; load it with Trust(finite=False), on the command line --assume nothing"
    )
