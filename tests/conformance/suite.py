"""ONNX's cases, each run twice: by ONNX Runtime alone, and by a plan that is spread over two engines.

A case that ONNX Runtime passes alone must pass, or be refused by an error that says why. A case that it does not pass
says nothing about plans, and is counted apart.
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
import psutil
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import Runner

from hetsim.core.errors import DeviceError, HetsimError
from hetsim.core.platform import Platform
from hetsim.models.reference import evaluate
from hetsim.models.values.trust import Trust
from hetsim.runtime import RefusedError, Runtime
from hetsim.tuner.onnx_backend import SpreadModel, backend_on

_CASES_PER_RUNTIME = 250  # a runtime keeps every model that it has seen


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a case.

    Attributes:
        group: The runner's name for its kind, such as ``"NodeModel"``.
        case: Its name.
        status: ``"passed"``, ``"refused"``, ``"failed"``, or ``"apart"`` where ONNX Runtime alone does not pass either.
        reason: What was said, if it did not pass.
        alone: Whether ONNX Runtime alone passes.
        in_scope: Whether all its inputs and outputs are tensors of numbers; shapes may depend on data.
        num_ops: Operators once imported, 0 if refused.
        num_devices: Devices that its plan uses.
    """

    group: str
    case: str
    status: str
    reason: str
    alone: bool
    in_scope: bool
    num_ops: int = 0
    num_devices: int = 0


class _Reference(BackendRep):
    """ONNX Runtime with a whole model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model

    def run(self, inputs: Sequence[Any], **_: Any) -> tuple[Any, ...]:
        constants = {tensor.name for tensor in self._model.graph.initializer}
        names = [value.name for value in self._model.graph.input if value.name not in constants]
        values = [np.asarray(value) if isinstance(value, np.generic) else value for value in inputs]
        return tuple(evaluate(self._model, dict(zip(names, values, strict=False))).values())


class _Recorder(_Reference):
    """ONNX Runtime that remembers its inputs."""

    inputs: Sequence[Any] = ()

    def run(self, inputs: Sequence[Any], **options: Any) -> tuple[Any, ...]:
        self.inputs = list(inputs)
        return super().run(inputs, **options)


class _Switch(Backend):
    """Whatever ``prepare_with`` says, for a runner that is made once."""

    prepare_with: ClassVar[Callable[[onnx.ModelProto], BackendRep]]
    model: ClassVar[onnx.ModelProto | None] = None

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **_: Any) -> BackendRep:  # noqa: ARG003
        cls.model = model
        return cls.prepare_with(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


class Suite:
    """All cases that ONNX's runner has for the CPU.

    Attributes:
        cases: (group, name) of each, in the runner's order of groups and by name.
    """

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the cases are computed while they are loaded, some with NaN
            items = Runner(_Switch)._test_items
        self._run = {
            (group, name): items[group][name].func
            for group in items
            for name in sorted(items[group])
            if name.endswith("_cpu")
        }
        self.cases = tuple(self._run)

    def run(self, cases: Sequence[tuple[str, str]], platform: Platform, *, seed: int = 0) -> Iterator[Outcome]:
        """The outcome of each case, as it comes; two workers serve them all, and nothing is assumed of inputs."""
        runtime: Runtime | None = None
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ONNX_MODELS"] = folder  # where the runner puts what it makes for its real networks
            try:
                for i, case in enumerate(cases):
                    fresh = i % _CASES_PER_RUNTIME == 0 or case[0] == "RealModel"
                    if runtime is not None and (fresh or not _is_sound(runtime)):
                        runtime.close()
                        runtime = None
                    if runtime is None:
                        runtime = Runtime(platform, trust=Trust(finite=False))
                    yield self._outcome(case, runtime, seed)
            finally:
                del os.environ["ONNX_MODELS"]
                if runtime is not None:
                    runtime.close()

    def single_operators(
        self, cases: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[str, onnx.ModelProto, Sequence[Any]]]:
        """Name, model and inputs of each of the cases that has one operator and that ONNX Runtime passes alone."""
        for case in cases:
            made: list[_Recorder] = []

            def prepare(model: onnx.ModelProto, made: list[_Recorder] = made) -> BackendRep:
                made.append(_Recorder(model))
                return made[-1]

            if case[0] != "NodeModel":
                continue
            error, model = self._attempt(case, prepare)
            if error is None and model is not None and len(model.graph.node) == 1 and made:
                yield case[1].removesuffix("_cpu"), model, made[-1].inputs

    def _outcome(self, case: tuple[str, str], runtime: Runtime, seed: int) -> Outcome:
        alone, _ = self._attempt(case, _Reference)
        made: list[SpreadModel] = []

        def prepare(model: onnx.ModelProto) -> BackendRep:
            made.append(backend_on(runtime, seed=seed).prepare(model))
            return made[-1]

        error, model = self._attempt(case, prepare)
        status = "passed"
        prepared = made[-1].made if made else None
        if isinstance(error, HetsimError) and (prepared is None or isinstance(error, RefusedError)):
            status = "refused" if not isinstance(error, DeviceError) or isinstance(error, RefusedError) else "failed"
        elif error is not None:
            status = "failed"
        if status == "failed" and alone is not None:
            status = "apart"
        return Outcome(
            group=case[0].removesuffix("Model"),
            case=case[1].removesuffix("_cpu"),
            status=status,
            reason="" if error is None else " ".join(f"{type(error).__name__}: {error}".split())[:600],
            alone=alone is None,
            in_scope=model is not None and _is_in_scope(model),
            num_ops=0 if prepared is None else len(prepared[0].graph.ops),
            num_devices=0 if prepared is None else len(prepared[1].queues),
        )

    def _attempt(
        self, case: tuple[str, str], prepare: Callable[[onnx.ModelProto], BackendRep]
    ) -> tuple[Exception | None, onnx.ModelProto | None]:
        """What went wrong, if anything, and the case's model."""
        _Switch.prepare_with = prepare
        _Switch.model = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._run[case](None)
        except Exception as error:
            return error, _Switch.model
        return None, _Switch.model


def _is_sound(runtime: Runtime) -> bool:
    return all(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in runtime.pids.values())


def _is_in_scope(model: onnx.ModelProto) -> bool:
    kinds = [value.type for value in (*model.graph.input, *model.graph.output)]
    return all(
        kind.WhichOneof("value") == "tensor_type" and kind.tensor_type.elem_type != onnx.TensorProto.STRING
        for kind in kinds
    )


KINDS = (
    ("the reference engine does not know the operator", r"not a registered function|neither ONNX|No Op registered"),
    ("the reference engine has no kernel for its types", r"Could not find an implementation|Failed to find kernel"),
    ("the reference engine refuses this form of it", r"Exception during initialization|ONNX Runtime cannot load"),
    ("elements that Python has no array for (float8, int2, ...)", r"No corresponding Numpy type"),
    ("the reference engine cannot run it", r"ONNX Runtime cannot run"),
    ("sizes that its inputs do not tell", r"leaves dimension|has no shape"),
    ("no device takes it", r"refuses segment"),
)
"""Why cases are refused: what people call it, and what its messages have in common."""


def kind_of(reason: str) -> str:
    """What people call the reason of a refusal."""
    return next((name for name, pattern in KINDS if re.search(pattern, reason)), "other")
