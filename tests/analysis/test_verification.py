"""Records of verifications: the first that diverges, the verdict, JSON, and the picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hetsim.analysis.verification.picture import draw_verification, figure_of_verification
from hetsim.analysis.verification.records import (
    DeviceFindings,
    Difference,
    Finding,
    OutputFinding,
    PlanFindings,
    Verdict,
    Verification,
)
from hetsim.analysis.verification.tables import as_dict
from hetsim.core.deviation import deviation
from tests.support.pictures import drawn_axes, legend_of, recorded_pictures


def difference(error: float) -> Difference:
    right = np.array([1.0, 4.0], np.float32)
    return Difference(tensor="t", sample=1, deviation=deviation(right + np.array([0, error], np.float32), right))


def finding(position: int, verdict: Verdict, error: float = 0.0, device: str = "npu") -> Finding:
    is_run = verdict not in ("refused", "failed", "random")
    return Finding(
        device=device,
        ops=(f"op{position}",),
        label=f"op{position}",
        kind="Conv",
        position=position,
        verdict=verdict,
        reason="" if is_run else "not supported",
        isolated=difference(error) if is_run else None,
        accumulated=difference(2 * error),
    )


NPU = DeviceFindings(
    device="npu",
    nature="stand-in",
    engine="fake engine",
    precision="f32",
    tolerance=2e-5,
    ops=(
        finding(0, "agrees"),
        finding(1, "refused"),
        finding(2, "agrees", 1e-5),
        finding(3, "diverges", 0.5),
        finding(4, "diverges", np.nan),
    ),
    outputs=(OutputFinding(tensor="y", difference=difference(0.5), diverges=None, top1=0.5),),
)
CLEAN = replace(NPU, device="cpu", nature="real", ops=NPU.ops[:3])
BOTH = Verification(model="net", platform="desk", num_samples=2, inputs="random", devices=(CLEAN, NPU))


def test_the_first_that_diverges_is_not_the_worst() -> None:
    assert NPU.first_diverging is NPU.ops[3]
    assert NPU.worst is NPU.ops[4]
    assert CLEAN.first_diverging is None
    assert (NPU.count("diverges"), NPU.count("agrees"), NPU.count("refused")) == (2, 2, 1)
    assert str(NPU.ops[3]) == "'op3' (Conv): tensor 't': 4.5 at [1] instead of 4.0, 1.2e-01 of the largest value"
    assert str(NPU.ops[1]) == "'op1' (Conv): refused, not supported"


def test_a_short_table_has_the_first_and_the_worst_in_topological_order() -> None:
    many = tuple(finding(i, "diverges" if i > 20 else "agrees", i * 1e-3) for i in range(100))
    assert [one.position for one in replace(NPU, ops=many).shown] == [21, 94, 95, 96, 97, 98, 99]
    assert [one.position for one in NPU.shown] == [0, 2, 3, 4]


def test_refusals_are_no_divergence_of_devices_but_one_of_plans() -> None:
    assert BOTH.diverges
    assert not replace(BOTH, devices=(CLEAN,)).diverges
    failed = replace(CLEAN, ops=(finding(0, "failed"),))
    assert replace(BOTH, devices=(failed,)).diverges
    plan = PlanFindings(plan="heft", segments=(finding(0, "agrees"),), outputs=())
    assert not replace(BOTH, devices=(), plan=plan).diverges
    for verdict in ("diverges", "failed", "refused"):
        assert replace(BOTH, devices=(), plan=replace(plan, segments=(finding(0, verdict),))).diverges
    wrong = OutputFinding(tensor="y", difference=difference(1.0), diverges=True, top1=None)
    assert replace(BOTH, devices=(), plan=replace(plan, outputs=(wrong,))).diverges


def test_everything_is_json() -> None:
    content = json.loads(json.dumps(as_dict(BOTH), allow_nan=False))
    cpu, npu = content["devices"]
    assert (cpu["first_diverging"], npu["first_diverging"]) == (None, "op3")
    third, fourth = npu["operators"][3:]
    assert third["isolated"]["index"] == [1]
    assert third["isolated"] | {"cosine": 0} == {
        "tensor": "t",
        "sample": 1,
        "max_abs": 0.5,
        "relative": 0.125,
        "cosine": 0,
        "index": [1],
        "found": 4.5,
        "expected": 4.0,
    }
    assert (fourth["isolated"]["found"], fourth["isolated"]["max_abs"]) == ("nan", "inf")
    assert npu["operators"][1] == {
        "name": "op1",
        "kind": "Conv",
        "position": 1,
        "verdict": "refused",
        "reason": "not supported",
        "accumulated": npu["operators"][1]["accumulated"],
    }
    assert npu["outputs"][0]["top1"] == 0.5


def test_it_describes_itself() -> None:
    assert repr(BOTH) == (
        "<Verification of 'net' on desk: cpu: 2 of 3 operators compared, none diverges; "
        "npu (stand-in): 2 of 5 operators diverge, first 'op3'>"
    )
    assert "<td>op3</td>" in BOTH._repr_html_()


def test_the_picture_has_a_panel_for_each_device_and_the_plan(tmp_path: Path) -> None:
    plan = PlanFindings(plan="heft", segments=NPU.ops, outputs=())
    found = replace(BOTH, plan=plan, model="odd $name_1$")
    with recorded_pictures() as pictures:
        draw_verification(found, tmp_path / "verify.png")
    cpu, npu, planned = pictures.axes(tmp_path / "verify.png")
    assert cpu.num_points == 2 + 1  # points of operators that ran, and a cross for the one that was refused
    assert npu.num_points == planned.num_points == 4 + 1
    assert "npu (stand-in), f32" in npu.texts
    assert "first: op3 (Conv)" in npu.texts
    assert not any(text.startswith("first") for text in cpu.texts)
    assert "infinite" in npu.texts
    assert (npu.x_label, planned.x_label) == ("Operator, in topological order", "Segment of the plan")
    assert "diverges" in legend_of(figure_of_verification(found))
    assert "diverges" not in legend_of(figure_of_verification(replace(BOTH, devices=(CLEAN,))))


@pytest.mark.parametrize("num_ops", [0, 1, 2000])
def test_a_network_of_any_length_is_drawn(num_ops: int) -> None:
    device = replace(NPU, ops=tuple(finding(i, "agrees", 1e-6) for i in range(num_ops)))
    (axes,) = drawn_axes(figure_of_verification(replace(BOTH, devices=(device,))))
    assert axes.num_points == num_ops
