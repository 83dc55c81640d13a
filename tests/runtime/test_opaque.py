"""Values that shared memory cannot hold, from the caller to the engines and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hetsim.core.errors import DeviceError
from hetsim.core.plan import Plan, Segment
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import import_model
from hetsim.models.model import Model
from hetsim.runtime import RefusedError, Runtime
from tests.support.models import parsed

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with Runtime(load_platform()) as runtime:
        yield runtime


def on(device: str, model: Model, *, num_segments: int = 1) -> Plan:
    names = [op.name for op in model.graph.ops]
    parts = [names] if num_segments == 1 else [[name] for name in names]
    queue = tuple(Segment(device, tuple(part)) for part in parts)
    return Plan(model=model.name, model_hash=model.hash, queues={device: queue})


def test_outputs_of_any_size_come_back_from_requests_in_flight(runtime: Runtime) -> None:
    model = import_model(parsed("g (float[2,3] x) => (int64[k,2] y) { i = NonZero (x) y = Transpose (i) }"), name="m")
    values = [np.eye(2, 3, dtype=np.float32), np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)]
    with runtime.load(model, on("cpu", model), num_slots=2) as session:
        assert session.run({"x": values[0]}).outputs["y"].tolist() == [[0, 0], [1, 1]]
        session.submit({"x": values[1]})
        session.submit({"x": values[2]})
        found: list[int] = []
        while len(found) < 2:
            found += [len(one.outputs["y"]) for one in session.collect(1.0)]
    assert found == [0, 6]


def test_text_goes_in_and_comes_out(runtime: Runtime) -> None:
    model = import_model(
        parsed("g (float[3] x, string[2] s) => (float[3] y, string[2] t) { t = Identity (s) y = Relu (x) }"), name="m"
    )
    with runtime.load(model, on("cpu", model, num_segments=2)) as session:
        outputs = session.run({"x": np.array([-1, 0, 2], np.float32), "s": np.array(["one", "two"])}).outputs
    assert outputs["t"].tolist() == ["one", "two"]
    assert outputs["y"].tolist() == [0, 0, 2]


def test_an_engine_without_such_values_refuses(runtime: Runtime) -> None:
    model = import_model(parsed("g (float[2,3] x) => (int64[2,k] y) { y = NonZero (x) }"), name="m")
    with pytest.raises(RefusedError, match="npu"):
        runtime.load(model, on("npu", model))


def test_a_size_that_turns_out_otherwise_is_an_error(runtime: Runtime) -> None:
    proto = parsed("g (float[4] x) => (float[2,2] y) { n = NonZero (x) f = Cast <to=1> (n) y = Reshape (x, t) "
                   "s = Shape (f) t = Concat <axis=0> (s) }")  # fmt: skip
    model = import_model(proto, name="m")  # the file states a static shape, though data decide it
    assert not model.graph.tensors["y"].is_opaque
    with runtime.load(model, on("cpu", model)) as session, pytest.raises(DeviceError):
        session.run({"x": np.array([1, 2, 3, 4], np.float32)})
