"""hetsim as an ONNX backend: models are divided at random over a machine's devices.

It serves whatever takes an ``onnx.backend.base.Backend``, above all the conformance tests of ONNX: however a plan cuts
a model and whichever devices it uses, the outputs must be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

from hetsim.core.plan import Plan
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from hetsim.scheduler.segments import queues_from_assignment


class SpreadModel(BackendRep):
    """A model, cut and placed at random; as soon as the sizes of its inputs are known, its devices compile it.

    Args:
        runtime: The devices.
        proto: The model.
        seed: Seed of the plan; the same model, sizes, seed and runtime give the same plan.
    """

    def __init__(self, runtime: Runtime, proto: onnx.ModelProto, *, seed: int) -> None:
        self._runtime = runtime
        self._proto = proto
        self._seed = seed
        constants = {tensor.name for tensor in proto.graph.initializer}
        self._inputs = {value.name: value for value in proto.graph.input if value.name not in constants}
        self._made: tuple[Model, Plan] | None = None
        if not any(map(_is_open, self._inputs.values())):
            self._prepare({name: _sizes(value) for name, value in self._inputs.items() if _is_empty(value)})

    @property
    def made(self) -> tuple[Model, Plan] | None:
        """The model as imported, and its plan; None before the first run if inputs have open sizes."""
        return self._made

    def run(self, inputs: Any, **_: Any) -> tuple[Any, ...]:
        """The outputs for one set of inputs, both in the model's order; the plan is loaded for just as long.

        Open sizes are those of the inputs of the first run.

        Raises:
            ModelError: If the inputs do not fit the model, or hetsim does not take it with inputs of these sizes.
            RefusedError: If no device takes one of its operators.
            DeviceError: If a device failed.
        """
        values = {name: _value(value) for name, value in zip(self._inputs, inputs, strict=True)}
        if self._made is None:
            self._prepare(
                {
                    name: values[name].shape
                    for name, value in self._inputs.items()
                    if (_is_open(value) or _is_empty(value)) and isinstance(values[name], np.ndarray)
                }
            )
        assert self._made is not None
        model, plan = self._made
        with self._runtime.load(model, plan) as session:
            outputs = session.run(values).outputs
        return tuple(outputs[name] for name in model.graph.outputs)

    def _prepare(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        model = import_model(self._proto, name=self._proto.graph.name or "model", shapes=shapes)
        rng = np.random.default_rng([self._seed, int(model.hash[:16], 16)])
        self._made = model, spread(self._runtime, model, rng)


class SpreadBackend(Backend):
    """Prepares models on a runtime; make one for yours with :func:`backend_on`."""

    runtime: ClassVar[Runtime]
    seed: ClassVar[int] = 0

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **_: Any) -> SpreadModel:  # noqa: ARG003
        """The model, cut and placed at random; if inputs have open sizes, when it is first run.

        Raises:
            ModelError: If hetsim does not take the model; names the operator or tensor, and why.
            RefusedError: If no device takes one of its operators.
        """
        return SpreadModel(cls.runtime, model, seed=cls.seed)

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


def _value(given: Any) -> Any:
    """An input as a session takes it: sequences are lists, and optional values may be None."""
    return given if given is None or isinstance(given, list) else np.asarray(given)


def _is_open(value: onnx.ValueInfoProto) -> bool:
    """Whether an input is a tensor of numbers with an open size."""
    kind = value.type
    if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type == onnx.TensorProto.STRING:
        return False
    return not kind.tensor_type.HasField("shape") or any(
        not dim.HasField("dim_value") for dim in kind.tensor_type.shape.dim
    )


def _is_empty(value: onnx.ValueInfoProto) -> bool:
    """Whether an input has no elements, which the importer accepts only if its shape is given."""
    return not _is_open(value) and 0 in _sizes(value)


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
