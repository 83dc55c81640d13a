"""Weights that are parts of other weights, so that no weight is stored twice."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(frozen=True, slots=True)
class WeightSlice:
    """A part of a weight.

    Attributes:
        source: Name of the weight that it is a part of.
        axis: Axis along which it is cut, from 0.
        start: First index that belongs to it.
        stop: First index after it.
    """

    source: str
    axis: int
    start: int
    stop: int

    def cut(self, weight: np.ndarray) -> np.ndarray:
        """The part of the weight, without copying it."""
        index = (slice(None),) * self.axis + (slice(self.start, self.stop),)
        return weight[index]

    def byte_range(self, weight: onnx.TensorProto, num_bytes: int) -> tuple[int, int] | None:
        """Offset and size of the part in the weight's bytes; None if the part is not contiguous.

        Args:
            weight: The weight that it is a part of.
            num_bytes: Size of the whole weight in bytes.
        """
        if math.prod(weight.dims[: self.axis]) != 1:
            return None
        each = num_bytes // weight.dims[self.axis]
        return self.start * each, (self.stop - self.start) * each

    def tensor(self, name: str, weight: onnx.TensorProto) -> onnx.TensorProto:
        """The part as a weight of its own with a copy of the values."""
        return numpy_helper.from_array(np.ascontiguousarray(self.cut(numpy_helper.to_array(weight))), name)
