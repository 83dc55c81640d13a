"""Splits: rewritten models compute what the originals do, under names that say what they compute."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetsim.core.errors import PlanError
from hetsim.core.plan import Axis, Split
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from hetsim.models.segments.files import SegmentStore
from hetsim.models.split.check import first_difference
from hetsim.models.split.rewrite import rewrite
from hetsim.models.split.rules import can_split
from tests.support.split_networks import random_network, random_splits, stack

SEEDS = range(*map(int, os.environ.get("HETSIM_SPLITS", "0:300").split(":")))
"""Cases to try; HETSIM_SPLITS=0:1000 tries a thousand."""


def check_same(model: Model, *splits: Split) -> None:
    inputs = random_inputs(model)
    right = evaluate(model.proto, inputs)
    mine = evaluate(rewrite(model, splits).model.standalone_proto(), inputs)
    for name, value in right.items():
        assert np.allclose(mine[name], value, rtol=0, atol=1e-5 * float(np.abs(value).max()))


@pytest.mark.slow
def test_random_splits_of_random_networks_change_no_output() -> None:
    worst, num_splits = 0.0, {"rows": 0, "channels": 0}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        model = random_network(rng)
        splits = random_splits(model, rng)
        found = rewrite(model, splits)
        for split in splits:
            num_splits[split.axis] += 1
        wanted = (*model.graph.outputs, *found.joins)
        inputs = random_inputs(model, seed=seed)
        right = evaluate(model.proto, inputs, wanted)
        mine = evaluate(found.model.standalone_proto(), inputs, wanted)
        for name in wanted:
            assert mine[name].shape == right[name].shape == model.graph.tensors[name].shape
            scale = float(np.abs(right[name]).max()) or 1.0
            error = float(np.abs(mine[name] - right[name]).max()) / scale
            assert error <= 1e-5, f"seed {seed}: {name} differs by {error:.1e} after {splits}"
            worst = max(worst, error)
    print(f"{len(SEEDS)} networks, splits {num_splits}, worst error {worst:.1e}")
    assert num_splits["rows"] >= len(SEEDS) // 2
    assert num_splits["channels"] >= len(SEEDS) // 4


def test_a_part_reads_its_rows_and_the_halo() -> None:
    # Two 3x3 convolutions of 8 rows, cut at 4: the second needs rows 0:5 and 3:8 of the first, and that one rows 0:6
    # and 2:8 of the image. Both compute rows 3 and 4 between.
    model = stack(3, 3)
    split = Split(("conv0", "conv1"), "rows", (4,))
    found = rewrite(model, (split,))
    assert found.parts == (
        (
            ("slice t0[rows 0:6]", "conv0[rows 0:5]", "conv1[rows 0:4]"),
            ("slice t0[rows 2:8]", "conv0[rows 3:8]", "conv1[rows 4:8]"),
        ),
    )
    assert found.joins == {"t2": "concat t2[rows 0:4 + 4:8]"}
    assert found.model.origins["conv0[rows 0:5]"] == ("conv0", 5 / 8)
    pads = [list(helper.get_attribute_value(next(a for a in node.attribute if a.name == "pads")))
            for node in found.model.proto.graph.node if node.name.startswith("conv0")]  # fmt: skip
    assert pads == [[1, 1, 0, 1], [0, 1, 1, 1]]  # at the true borders alone
    check_same(model, split)


def test_neighbouring_runs_pass_rows_on_directly() -> None:
    model = stack(3, 3)
    splits = Split(("conv0",), "rows", (4,)), Split(("conv1",), "rows", (5,))
    found = rewrite(model, splits)
    # Rows 0:6 are the first part's own 0:4 and two that the second cuts out; rows 4:8 are the second's own.
    assert found.parts[0][1][-2:] == ("conv0[rows 4:8]", "slice t1[rows 4:6 of 4:8]")
    assert found.parts[1] == (("concat t1[rows 0:4 + 4:6]", "conv1[rows 0:5]"), ("conv1[rows 5:8]",))
    assert set(found.joins) == {"t2"}  # nobody reads t1 whole
    check_same(model, *splits)


def test_a_shortcut_reads_the_rows_of_one_part_without_a_slice() -> None:
    model = stack(3, 3, is_residual=True)
    splits = Split(("conv0",), "rows", (4,)), Split(("conv1", "add"), "rows", (4,))
    found = rewrite(model, splits)
    # The convolution needs one row of the other part; the addition has its own rows already.
    assert found.parts[1] == (
        ("concat t1[rows 0:4 + 4:5]", "conv1[rows 0:4]", "add[rows 0:4]"),
        ("concat t1[rows 3:4 + 4:8]", "conv1[rows 4:8]", "add[rows 4:8]"),
    )
    assert found.model.graph.by_name["add[rows 0:4]"].inputs == ("t1[rows 0:4]", "t2[rows 0:4]")
    check_same(model, *splits)
    check_same(model, splits[0], Split(("conv1", "add"), "rows", (5,)))  # the second part's rows are sliced


def test_channels_are_split_with_their_weights_and_read_all_that_was_made() -> None:
    model = stack(1, 3)
    splits = Split(("conv0",), "channels", (1,)), Split(("conv1",), "channels", (3,))
    found = rewrite(model, splits)
    assert found.parts[0] == (("conv0[channels 0:1]",), ("conv0[channels 1:4]",))
    assert found.parts[1] == (
        ("concat t1[channels 0:1 + 1:4]", "conv1[channels 0:3]"),
        ("concat t1[channels 0:1 + 1:4]'", "conv1[channels 3:4]"),
    )
    graph = found.model.graph
    assert graph.by_name["conv1[channels 3:4]"].weight_bytes == 4 * 3 * 3 * 4  # a quarter of the filters
    assert graph.by_name["conv1[channels 3:4]"].num_macs * 4 == model.graph.by_name["conv1"].num_macs
    check_same(model, *splits)


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ([(("conv0", "pool"), "rows", (4,))], "GlobalAveragePool operator 'pool' cannot be split along rows; end the"),
        ([(("conv9",), "rows", (4,))], "the split of 'conv9' names 'conv9', which model 'stack' does not have"),
        ([(("conv0",), "rows", (8,))], "ends a part at 8, but it makes 8 rows; give numbers below 8"),
        ([(("conv0",), "rows", (4,)), (("conv0",), "channels", (2,))], "two splits name 'conv0'; keep it in one"),
        ([(("conv0",), "rows", (4, 4))], r"ends its parts at \[4, 4\]; give numbers that ascend from above 0"),
        ([(("conv0",), "rows", ())], "ends its parts at"),
        ([(("conv0",), "columns", (4,))], "along 'columns'; choose from rows, channels"),
        ([((), "rows", (4,))], "a split without operators"),
    ],
)
def test_what_cannot_be_split_is_refused(
    splits: list[tuple[tuple[str, ...], Axis, tuple[int, ...]]], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        rewrite(stack(3, 3), [Split(*each) for each in splits])


def test_a_run_hands_on_tensors_of_one_size() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("MaxPool", ["a"], ["b"], name="half", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, rows, rows])
        for name, rows in (("x", 8), ("a", 8), ("b", 4))
    ]
    proto = helper.make_model(
        helper.make_graph(nodes, "two", values[:1], values[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    model = import_model(proto, name="two")
    with pytest.raises(PlanError, match="has output 'a' with 8 rows and others with 4; split it where these change"):
        rewrite(model, (Split(("relu", "half"), "rows", (2,)),))
    check_same(model, Split(("relu",), "rows", (3,)), Split(("half",), "rows", (2,)))


def test_pooling_beyond_the_border_is_split_only_where_engines_agree() -> None:
    # 6 rows, windows of 3 at every second row: the last, rows 4 to 6, reaches one row beyond the image.
    def pool(kind: str, **attributes: int) -> Model:
        node = helper.make_node(
            kind, ["x"], ["y"], name="pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, **attributes
        )
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, rows, rows])
            for name, rows in (("x", 6), ("y", 3))
        ]
        graph = helper.make_graph([node], "pool", values[:1], values[1:])
        return import_model(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9), name="p"
        )

    for model in (pool("MaxPool"), pool("AveragePool")):
        check_same(model, Split(("pool",), "rows", (2,)))
    assert not can_split(pool("AveragePool", count_include_pad=1), "pool", "rows")


def test_the_same_rewrite_is_made_once_and_none_gives_the_model_back() -> None:
    model = stack(3, 3)
    split = Split(("conv0",), "rows", (4,))
    found = rewrite(model, (split,))
    assert rewrite(model, (split,)) is found
    assert rewrite(found.model, (split,)) is found
    assert rewrite(found.model, ()).model is model
    assert found.model.hash == model.hash


def test_a_name_means_the_same_work_in_every_rewrite(tmp_path: Path) -> None:
    model = stack(3, 3, 3)
    one = rewrite(model, (Split(("conv1",), "rows", (4,)),)).model
    other = rewrite(model, (Split(("conv1",), "rows", (4, 6)), Split(("conv2",), "channels", (1,)))).model
    store = SegmentStore(model, tmp_path)
    part = ("slice t1[rows 0:5]", "conv1[rows 0:4]")
    assert store.path(one, part) == store.path(other, part)


def test_parts_of_weights_lie_in_the_weights(tmp_path: Path) -> None:
    model = stack(3, channels=16)
    found = rewrite(model, (Split(("conv0",), "channels", (4,)),)).model
    store = SegmentStore(model, tmp_path)
    before = (tmp_path / "weights.bin").stat().st_size
    path = store.path(found, ("conv0[channels 4:16]",))
    assert (tmp_path / "weights.bin").stat().st_size == before
    (weight,) = onnx.load(path).graph.initializer
    right = numpy_helper.to_array(model.weights["w0"])[4:]
    assert np.array_equal(numpy_helper.to_array(weight), right)


def test_the_first_tensor_that_differs_is_named() -> None:
    model = stack(3, 3)
    splits = (Split(("conv0",), "rows", (4,)), Split(("conv1",), "channels", (2,)))
    assert first_difference(model, splits, random_inputs(model)) is None
    nodes = rewrite(model, splits).model.nodes
    nodes["conv1[channels 2:4]"].input[1] = nodes["conv1[channels 0:2]"].input[1]
    assert first_difference(model, splits, random_inputs(model)) == "t2"
