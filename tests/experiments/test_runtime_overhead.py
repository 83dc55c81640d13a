"""A plan of one segment beside the engine called directly."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from experiments import runtime_overhead
from hetsim.core.errors import PlatformError
from hetsim.io.platform_file import load_platform
from hetsim.models.importer import load_model
from hetsim.tuner.progress import Silent
from tests.support.experiments import platform_in
from tests.support.models import fork_join


@pytest.mark.engines
def test_a_plan_of_one_segment_is_compared_with_the_engine_itself(tmp_path: Path) -> None:
    onnx.save(fork_join().proto, tmp_path / "tiny.onnx")
    model = load_model(tmp_path / "tiny.onnx")
    lines = runtime_overhead.compare(model, load_platform(), 3, Silent())
    assert [(line.device, line.engine) for line in lines] == [("cpu", "onnxruntime"), ("npu", "openvino")]
    for line in lines:
        assert line.direct_s > 0
        assert line.runtime_s > 0
        assert 0 < line.ratio_low <= line.ratio <= line.ratio_high
        assert line.num_rounds == 3


def test_only_engines_that_are_called_directly_are_compared(results: Path) -> None:
    model = load_model(results / "tiny.onnx")
    with pytest.raises(PlatformError, match="'cpu' cannot be compared: only onnxruntime, openvino in f32"):
        runtime_overhead.compare(model, platform_in(results), 3, Silent())
