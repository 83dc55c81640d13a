"""An engine for tests: right outputs, chosen durations, chosen failures, any clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from hetsim.core.platform import Device
from hetsim.runtime.backends.faults import Fault, plain_name, write_faulty
from hetsim.runtime.backends.protocol import Backend, Compiled, DeviceLocal, Place, Refused, arrays_only


class FakeBackend:
    """Computes with ONNX's reference evaluator and then waits.

    Args:
        device: Its ``options`` choose the behaviour. ``op_s`` is the duration of each operator in seconds (default 0),
            ``item_s`` the additional duration of each element that a convolution makes, and ``element_s`` that of each
            element that any operator makes, slices and concatenations excepted (default 0). ``refuse`` is an operator
            kind that does not compile. The others name an operator: the segment of ``fail`` raises when run,
            that of ``misshape`` makes outputs of another shape, that of ``nan`` makes NaN, that of ``misbind`` compiles
            but refuses its buffers, and that of ``hang`` takes 30 seconds from its second run on. The operator
            ``wrong`` makes values that are wrong as ``wrong_by`` says
            (:meth:`hetsim.runtime.backends.faults.Fault.parse`). ``engine`` is the name of another engine, which
            computes instead.
        sleep: Lets time pass, given in seconds.
        make_backend: Sets up the engine that ``engine`` names.
    """

    def __init__(
        self,
        device: Device,
        sleep: Callable[[float], None] = time.sleep,
        make_backend: Callable[[Device], Backend] | None = None,
    ) -> None:
        self._op_s = float(device.options.get("op_s", "0"))
        self._item_s = float(device.options.get("item_s", "0"))
        self._element_s = float(device.options.get("element_s", "0"))
        self._refuse = device.options.get("refuse", "")
        self._faults = {kind: device.options.get(kind, "") for kind in ("fail", "misshape", "misbind", "nan", "hang")}
        self._sleep = sleep
        wrong = device.options.get("wrong", "")
        self._wrong = Fault.parse(wrong, device.options.get("wrong_by", "")) if wrong else None
        engine = device.options.get("engine", "")
        self._engine: Backend | None = None
        if engine and make_backend is not None:
            self._engine = make_backend(replace(device, backend=engine, options={}))

    def describe(self) -> str:
        return "fake engine" if self._engine is None else f"fake engine with {self._engine.describe()}"

    def compile(self, path: Path, device_local: Collection[DeviceLocal] = ()) -> Compiled:
        if self._wrong is not None:
            path = write_faulty(path, self._wrong)
        if self._engine is not None:
            return self._engine.compile(path, device_local)
        model = onnx.load(path)
        for node in model.graph.node:
            if node.op_type == self._refuse:
                raise Refused(f"{node.op_type} is not supported")
        names = [plain_name(node.name) for node in model.graph.node]
        fault = next((kind for kind, op in self._faults.items() if op and op in names), "")
        kinds = {node.op_type for node in model.graph.node}
        seconds = self._op_s * len(names) + self._item_s * _num_elements(model, kinds & {"Conv"})
        seconds += self._element_s * _num_elements(model, kinds - {"Slice", "Concat"})
        return FakeSegment(model, partial(self._sleep, seconds), partial(self._sleep, 30.0), fault=fault)


def _num_elements(model: onnx.ModelProto, kinds: Collection[str]) -> int:
    """The number of elements in the outputs of the model's operators of these kinds."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    made = {node.output[0] for node in graph.node if node.op_type in kinds}
    return sum(
        math.prod(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.output)
        if value.name in made
    )


class FakeSegment:
    """A segment compiled by the fake engine."""

    def __init__(
        self, model: onnx.ModelProto, wait: Callable[[], None], hang: Callable[[], None], *, fault: str
    ) -> None:
        self._evaluator = ReferenceEvaluator(model)
        self._wait = wait
        self._hang = hang
        self._has_run = False
        self._fault = fault

    def bind(self, inputs: Mapping[str, Place], outputs: Mapping[str, Place]) -> Callable[[], object]:
        inputs, outputs = arrays_only(inputs), arrays_only(outputs)
        if self._fault == "misbind":
            raise Refused("told to refuse its buffers")

        def run() -> None:
            if self._fault == "fail":
                raise RuntimeError("told to fail")
            for array, value in zip(outputs.values(), self._evaluator.run(None, dict(inputs)), strict=True):
                if self._fault == "misshape":
                    value = value.reshape(-1)[1:]
                array[...] = np.nan if self._fault == "nan" else value
            self._wait()
            if self._fault == "hang" and self._has_run:
                self._hang()
            self._has_run = True

        return run
