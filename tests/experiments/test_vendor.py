"""What an engine refuses as a table, and 8-bit versions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest

from experiments.vendor import refusals
from experiments.vendor.quantise import losses, write_quantised
from hetsim.core.errors import PlatformError
from hetsim.io.platform_file import parse_platform
from hetsim.models.importer import load_model
from tests.support.experiments import PLATFORM, platform_in, table
from tests.support.models import fork_join, images

pytestmark = pytest.mark.slow
SHEET = "[device.npu.sheet]\npeak_ops_per_s = { f32 = 1e9 }\nmemory_bytes_per_s = 1e9\n"


def test_every_kind_has_a_line_and_says_why_it_is_refused(tmp_path: Path) -> None:
    platform = parse_platform(
        PLATFORM.replace('3.125e-5" }\n[memory]', f'0", refuse = "Sigmoid" }}\n{SHEET}[memory]'), source="desk"
    )
    onnx.save(fork_join().proto, tmp_path / "tiny.onnx")
    for _ in range(2):
        lines = refusals.measure((str(tmp_path / "tiny.onnx"),), platform, tmp_path / "out", shapes=[])
    written = table(tmp_path / "out" / "refusals.csv")
    assert (
        [line["kind"] for line in written]
        == [line.kind for line in lines]
        == ["Abs", "MatMul", "Neg", "Sigmoid", "Sub"]
    )
    refused = [line for line in written if line["num_refused"] != "0"]
    assert [(line["kind"], line["num_ops"], line["reason"]) for line in refused] == [
        ("Sigmoid", "1", "Sigmoid is not supported")
    ]
    assert {line["device"] for line in written} == {"npu (emulated)"}


def test_the_summary_has_a_row_for_each_network() -> None:
    def line(model: str, kind: str, num_ops: int, refused: int = 0, alone: int = 0) -> refusals.RefusalLine:
        return refusals.RefusalLine(
            model=model,
            device="npu (emulated)",
            kind=kind,
            num_ops=num_ops,
            num_refused=refused,
            num_refused_alone=alone,
            reason=None,
        )

    lines = [line("a", "Erf", 4, 4), line("a", "Relu", 3), line("b", "QuantizeLinear", 7, 0, 7)]
    lines += [line("b", "group", 5, 0, 5), line("b", "group", 9, 0, 9)]
    assert refusals.as_table(lines).splitlines()[2:] == [
        "| a | 7 | 4 of 4 Erf | none | none |",
        "| b | 7 | none | 7 of 7 QuantizeLinear | 2, of 5 to 9 operators |",
    ]


def test_a_platform_without_such_a_device_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="no device of platform 'desk' has both an engine and emulated times"):
        refusals.measure(("squeezenet",), platform_in(results), tmp_path, shapes=[])


def test_8_bits_compute_nearly_the_same(tmp_path: Path) -> None:
    model = images()
    write_quantised(model, tmp_path / "images8.onnx", num_samples=2)
    quantised = load_model(tmp_path / "images8.onnx")
    kinds = Counter(op.kind for op in quantised.graph.ops)
    assert kinds["QuantizeLinear"] > 0
    assert kinds["Conv"] == 3
    lost = losses(model, quantised, num_samples=2, seed=1)
    assert len(lost) == 2
    assert all(0 < each < 0.1 for each in lost)
    assert losses(model, model, num_samples=1, seed=1) == [0.0]
    assert list(tmp_path.iterdir()) == [tmp_path / "images8.onnx"]
