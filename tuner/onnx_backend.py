"""hetsim as an ONNX backend: models are divided at random over a machine's devices.

It serves whatever takes an ``onnx.backend.base.Backend``, above all the conformance tests of ONNX: however a plan cuts
a model and whichever devices it uses, the outputs must be right.
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
        given = zip(self._inputs, inputs, strict=True)
        arrays: dict[str, Any] = {
            name: value if isinstance(value, list | None) else np.asarray(value) for name, value in given
        }
        with self._runtime.load(self.model, self.plan) as session:
            outputs = session.run(arrays).outputs
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
        """Whether the device is ``"CPU"``, which in ONNX stands for a backend without special requirements."""
        return device == "CPU"


def backend_on(runtime: Runtime, *, seed: int = 0) -> type[SpreadBackend]:
    """A backend class for this runtime; it is a class, since ONNX calls class methods."""
    return type("SpreadBackend", (SpreadBackend,), {"runtime": runtime, "seed": seed})


def spread(runtime: Runtime, model: Model, rng: np.random.Generator) -> Plan:
    """A random plan whose segments the runtime's devices all take.

    Each operator goes to a random device. With a probability of one half it is fused with the operators on that device
    that it reads from, where possible. An operator that a device refuses goes to another device; if a device refuses a
    segment of several operators, no operators are fused.

    Raises:
        RefusedError: If no device takes one of the operators; it is the refusal of the last device tried.
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
    """The shapes of inputs without elements, which the importer accepts only if they are given explicitly."""
    shapes: dict[str, tuple[int, ...]] = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if any(dim.HasField("dim_value") and dim.dim_value == 0 for dim in dims):
            if not all(dim.HasField("dim_value") for dim in dims):
                raise ModelError(f"input {value.name!r} is empty in one dimension and open in another; state all sizes")
            shapes[value.name] = tuple(int(dim.dim_value) for dim in dims)
    return shapes
