"""What an engine reports, against the plan."""

from __future__ import annotations

import onnx
from onnx import helper

from hetsim.runtime.placement.compare import onnxruntime_differences, openvino_differences
from tests.support.models import fork_join

DEVICE_OF = {"stem": "cpu", "left": "cpu", "right": "npu", "right2": "npu", "join": "cpu"}
PROVIDERS = {"cpu": "CpuProvider", "npu": "NpuProvider"}
AS_PLANNED = {node: PROVIDERS[device] for node, device in DEVICE_OF.items()}


def onnxruntime(
    found: dict[str, str], optimized: onnx.GraphProto, absent: dict[str, str] | None = None
) -> dict[str, str]:
    """By node that differs, where it was found and the reason."""
    differences = onnxruntime_differences(fork_join(), DEVICE_OF, PROVIDERS, found, absent or {}, optimized)
    return {one.node: f"{one.found}: {one.reason}" for one in differences}


def test_nothing_differs_where_all_runs_as_planned_also_under_another_name() -> None:
    found = {
        f"{node}_token_{i}" if node == "right" else node: each for i, (node, each) in enumerate(AS_PLANNED.items())
    }
    assert onnxruntime(found, fork_join().proto.graph) == {}


def test_nodes_that_moved_say_why() -> None:
    found = {**AS_PLANNED, "right": "CpuProvider", "left": "NpuProvider"}
    assert onnxruntime(found, fork_join().proto.graph, {"npu": "not installed"}) == {
        "left": "NpuProvider: CpuProvider did not take it",
        "right": "CpuProvider: not installed",
    }


def test_nodes_that_vanished_say_into_what() -> None:
    optimized = onnx.GraphProto()
    optimized.CopyFrom(fork_join().proto.graph)
    del optimized.node[:]
    optimized.node.append(helper.make_node("Gemm", ["l", "w"], ["r2"], name="new"))
    optimized.node.append(helper.make_node("Sub", ["l", "r2"], ["y"], name="join"))
    optimized.initializer.add(name="s")
    found = {"new": "NpuProvider", "join": "CpuProvider", "left": "CpuProvider"}
    assert onnxruntime(found, optimized) == {
        "stem": ": computed when the model is loaded: it is constant",
        "right": ": fused into Gemm 'new', which NpuProvider runs",
        "right2": ": fused into Gemm 'new', which NpuProvider runs",
    }


def openvino(found: dict[str, int], owners: dict[str, str] | None = None) -> dict[str, str]:
    owners = owners or {node: node for node in DEVICE_OF}
    everything = dict.fromkeys(PROVIDERS.values(), frozenset(owners))
    differences = openvino_differences(fork_join(), DEVICE_OF, PROVIDERS, owners, found, everything)
    return {one.node: f"{one.found}: {one.reason}" for one in differences}


def test_subgraphs_of_one_target_are_as_planned() -> None:
    found = {"stem": 0, "left": 0, "right": 1, "right2": 1, "join": 2, "made by the engine": 1}
    assert openvino(found) == {}


def test_a_subgraph_of_two_targets_is_as_planned_for_none_of_its_nodes() -> None:
    both = "CpuProvider/NpuProvider: OpenVINO reports it in a subgraph with nodes of CpuProvider and NpuProvider"
    assert openvino({"stem": 0, "left": 1, "right": 1, "right2": 2, "join": 3}) == {"left": both, "right": both}


def test_nodes_that_openvino_does_not_report_say_what_is_known() -> None:
    owners = {node: node for node in DEVICE_OF if node != "left"}
    assert openvino({"right2": 1, "join": 2}, owners) == {
        "stem": ": fused with what follows, up to 'join', or computed when the model was compiled",
        "left": ": OpenVINO's converter replaced it by nodes of other names",
        "right": ": fused with what follows, up to 'right2', or computed when the model was compiled",
    }
