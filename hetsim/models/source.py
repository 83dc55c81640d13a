"""The user's own model: the reference for everything that is computed from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from hetsim.core.errors import ModelError
from hetsim.models.importing.normal import normalize
from hetsim.models.reference import evaluate


@dataclass(frozen=True, kw_only=False)
class Source:
    """Where a model came from.

    Attributes:
        load: Gives the model as the user has it; None if hetsim built it.
        fixed: By input, the value that it always has.
        custom_ops: Libraries of operators for ONNX Runtime.
    """

    load: Callable[[], onnx.ModelProto] | None
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)
    custom_ops: tuple[str, ...] = ()

    def outputs(self, inputs: Mapping[str, Any], outputs: list[str] | None = None) -> dict[str, Any]:
        """What ONNX Runtime makes of the user's model as it stands: in its own opset, without optimisations.

        A model that ONNX Runtime refuses as it stands, but whose meaning is clear, such as one with two operators of
        one name, is normalised before.

        Args:
            inputs: By input that is not fixed, its value.
            outputs: Names of tensors; None means the model's outputs.

        Raises:
            ModelError: If ONNX Runtime cannot run the model.
        """
        assert self.load is not None
        proto = self.load()
        given = {**inputs, **self.fixed}
        own = {value.name for value in proto.graph.input}
        given = {name: value for name, value in given.items() if name in own}
        try:
            return evaluate(proto, given, outputs, custom_ops=self.custom_ops)
        except ModelError:
            repaired = onnx.ModelProto()
            repaired.CopyFrom(proto)
            normalize(repaired)
            return evaluate(repaired, given, outputs, custom_ops=self.custom_ops)
