"""hetsim as an ONNX backend: any model that it imports, its operators spread at random over a machine's devices.

For those who hold an ``onnx.backend.base.Backend``, first of all the conformance tests of ONNX itself: whatever
a plan may do with a model, cut it anywhere, put any part on any device that takes it, the answers must stay right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

from hetsim.core.errors import ModelError
from hetsim.core.plan import Plan
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from hetsim.runtime.backends.protocol import Array
from hetsim.scheduler.segments import queues_from_assignment


class SpreadModel(BackendRep):
    """A model and a plan for it that its devices have compiled.

    Attributes:
        model: The model as imported.
        plan: Where its operators are.
    """

    def __init__(self, runtime: Runtime, model: Model, plan: Plan, inputs: Sequence[str]) -> None:
        self.model = model
        self.plan = plan
        self._runtime = runtime
        self._inputs = tuple(inputs)

    def run(self, inputs: Any, **_: Any) -> tuple[Array, ...]:
        """The outputs for one set of inputs, both in the model's order; the plan is loaded for just as long.

        Raises:
            ModelError: If the inputs do not fit the model.
            DeviceError: If a device failed.
        """
        given = {name: np.asarray(value) for name, value in zip(self._inputs, inputs, strict=True)}
        with self._runtime.load(self.model, self.plan) as session:
            outputs = session.run(given).outputs
        return tuple(outputs[name] for name in self.model.graph.outputs)


class SpreadBackend(Backend):
    """Prepares models on a runtime; make one for yours with :func:`backend_on`."""

    runtime: ClassVar[Runtime]
    seed: ClassVar[int] = 0

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **_: Any) -> SpreadModel:  # noqa: ARG003
        """The model, cut and placed at random; the same model, seed and runtime give the same plan.

        Raises:
            ModelError: If hetsim does not take the model; names the operator or tensor, and why.
            RefusedError: If no device takes one of its operators.
        """
        imported = import_model(model, name=model.graph.name or "model", shapes=_empty_shapes(model.graph))
        rng = np.random.default_rng([cls.seed, int(imported.hash[:16], 16)])
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value.name for value in model.graph.input if value.name not in constants]
        return SpreadModel(cls.runtime, imported, spread(cls.runtime, imported, rng), inputs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """ONNX's word for "no accelerator is needed" is the only one that means all our devices."""
        return device == "CPU"


def backend_on(runtime: Runtime, *, seed: int = 0) -> type[SpreadBackend]:
    """ONNX's interface is one of class methods, so a backend with a runtime of its own is a class."""
    return type("SpreadBackend", (SpreadBackend,), {"runtime": runtime, "seed": seed})


def spread(runtime: Runtime, model: Model, rng: np.random.Generator) -> Plan:
    """A random plan that the runtime's devices take, as good as compiled.

    Each operator goes to any device, and joins what it reads from there if it can, or not, each at even odds. What a
    device refuses goes to another one; where it refuses operators that are fused, none are.

    Raises:
        RefusedError: If no device takes one of the operators; it is the last one's answer.
    """
    names = runtime.platform.device_names
    takers = {op.name: [names[i] for i in rng.permutation(len(names))] for op in model.graph.ops}
    level_of = {op.name: int(rng.integers(2)) for op in model.graph.ops}
    while True:
        device_of = {op: devices[0] for op, devices in takers.items()}
        queues = queues_from_assignment(model.graph, device_of, level_of, connected=True)
        plan = Plan(model=model.name, model_hash=model.hash, queues=queues, scheduler="spread")
        try:
            runtime.load(model, plan).close()
        except RefusedError as error:
            if len(error.segment) > 1:
                level_of = dict.fromkeys(takers, 1)
                continue
            takers[error.segment[0]].remove(error.device)
            if not takers[error.segment[0]]:
                raise
            continue
        return plan


def _empty_shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes of inputs without elements, of which the importer wants to be told that they are meant so."""
    shapes: dict[str, tuple[int, ...]] = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in dims):
            if not all(dim.HasField("dim_value") for dim in dims):
                raise ModelError(f"input {value.name!r} is empty in one dimension and open in another; state all sizes")
            shapes[value.name] = tuple(int(dim.dim_value) for dim in dims)
    return shapes
