"""Models that ONNX Runtime runs and a stricter reader refuses: each loads, and computes what its file computes.

Every case is a kind that people reported: an exporter's way to write something, or an operator that cannot be cut.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hetsim.core.errors import ModelError
from hetsim.models.importer import import_model
from hetsim.models.model import Model, random_inputs
from hetsim.models.reference import evaluate
from tests.support.models import parsed

FLOAT = TensorProto.FLOAT


def check(model: Model, proto: onnx.ModelProto | None = None, *, fixed: dict[str, np.ndarray] | None = None) -> None:
    """The model computes what the file does, on several inputs."""
    for seed in range(3):
        inputs = random_inputs(model, seed=seed)
        found = evaluate(model.proto, inputs)
        right = model.reference_outputs(inputs) if proto is None else evaluate(proto, {**inputs, **(fixed or {})})
        for name in model.comparable_outputs:
            if isinstance(right[name], np.ndarray) and right[name].dtype.kind == "f":
                np.testing.assert_allclose(found[name], right[name], rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(found[name], right[name])


OLD = {
    "a linear Upsample": parsed(
        'g (float[1,1,3,3] x) => (float[1,1,6,6] y) <float[4] s = {1,1,2,2}> { y = Upsample <mode="linear"> (x, s) }',
        opset=9,
    ),
    "a linear Resize": parsed(
        'g (float[1,1,3,3] x) => (float[1,1,6,6] y) <float[4] s = {1,1,2,2}> { y = Resize <mode="linear"> (x, s) }',
        opset=10,
    ),
    "a Hardmax that joins axes": parsed(
        "g (float[2,3,4] x) => (float[2,3,4] y) { y = Hardmax <axis=1> (x) }", opset=11
    ),
    "a Softmax that joins axes": parsed(
        "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis=1> (x) }", opset=11
    ),
    "a LogSoftmax by default": parsed("g (float[2,3,4] x) => (float[2,3,4] y) { y = LogSoftmax (x) }", opset=9),
    "a normalisation by pixel": parsed(
        "g (float[1,2,1,2] x) => (float[1,2,1,2] y) <float[2,1,2] s = {1,2,3,4}, float[2,1,2] b = {1,0,1,0}, "
        "float[2,1,2] m = {0,1,2,3}, float[2,1,2] v = {1,2,1,2}> {y = BatchNormalization <spatial=0> (x, s, b, m, v)}",
        opset=7,
    ),
    "a Clip by attributes": parsed("g (float[4] x) => (float[4] y) { y = Clip <min=-0.5, max=0.5> (x) }", opset=10),
    "a Pad by attributes": parsed("g (float[2,2] x) => (float[3,3] y) { y = Pad <pads=[1,0,0,1]> (x) }", opset=10),
    "a Dropout": parsed("g (float[4] x) => (float[4] y) { y = Dropout <ratio=0.5> (x) }", opset=10),
}


@pytest.mark.parametrize("name", OLD)
def test_old_operators_keep_their_meaning(name: str) -> None:
    model = import_model(OLD[name], name="m")
    check(model)
    assert model.opset == OLD[name].opset_import[0].version


def test_the_standard_domain_has_two_names() -> None:
    proto = parsed("g (float[3] x) => (float[3] y) { r = ai.onnx.Relu (x) y = Add (r, r) }")
    check(import_model(proto, name="m"))


def test_operators_in_any_order_are_sorted() -> None:
    proto = parsed("g (float[3] x) => (float[3] y) { y = Sigmoid (b) b = Mul (a, a) a = Relu (x) }")
    assert [op.kind for op in import_model(proto, name="m").graph.ops] == ["Relu", "Mul", "Sigmoid"]


@pytest.mark.parametrize("mode", ["half_pixel", "align_corners", "asymmetric"])
def test_an_empty_name_is_an_absent_input(mode: str) -> None:
    text = f'y = Resize <mode="linear", coordinate_transformation_mode="{mode}"> (x, "", s)'
    proto = parsed(f"g (float[1,1,3,3] x) => (float[1,1,6,6] y) <float[4] s = {{1,1,2,2}}> {{ {text} }}", opset=11)
    whole = parsed(
        "g (float[1,1,3,3] x) => (float[1,1,6,6] y) <float[0] e = {}, float[4] s = {1,1,2,2}> "
        f"{{ {text.replace(chr(34) * 2, 'e')} }}",
        opset=11,
    )
    check(import_model(proto, name="m"), whole)


def test_initializers_need_not_be_inputs_in_old_models() -> None:
    proto = parsed("g (float[3] x) => (float[3] y) <float[3] w = {1,2,3}> { y = Mul (x, w) }", opset=8)
    proto.ir_version = 3
    check(import_model(proto, name="m"))


def test_functions_of_another_opset_are_inlined() -> None:
    proto = parsed("g (float[5] x) => (float[1] y) { y = local.total (x) }", extra=', "local": 1')
    body = [helper.make_node("ReduceSum", ["a"], ["b"], keepdims=1)]
    proto.functions.append(helper.make_function("local", "total", ["a"], ["b"], body, [helper.make_opsetid("", 11)]))
    model = import_model(proto, name="m")
    check(model)
    assert [op.kind for op in model.graph.ops] == ["ReduceSum"]


def test_what_is_constant_is_folded_before_anything_is_refused() -> None:
    proto = parsed(
        "g (float[2,3] x) => (float[3] y) <float[2,3] c = {1,0,1,0,1,0}> "
        "{ i = NonZero (c) t = Transpose (i) y = GatherND (x, t) }"
    )
    model = import_model(proto, name="m")
    check(model)
    assert [op.kind for op in model.graph.ops] == ["GatherND"]
    assert model.graph.tensors["y"].shape == (3,)


def test_what_has_no_effect_is_dropped_before_anything_is_refused() -> None:
    proto = parsed(
        "g (float[3] x) => (float[3] y) { y = Relu (x) u = com.example.Odd (x) }", extra=', "com.example": 1'
    )
    assert [op.kind for op in import_model(proto, name="m").graph.ops] == ["Relu"]


def test_inputs_that_nobody_reads_may_be_of_any_type() -> None:
    proto = parsed("g (float[3] x, int64[B,S] mask, string[2] names) => (float[3] y) { y = Relu (x) }")
    model = import_model(proto, name="m")
    assert [model.graph.tensors[name].is_opaque for name in ("x", "mask", "names")] == [False, True, True]
    check(model)


def test_sparse_constants_become_dense() -> None:
    proto = parsed("g (float[2,3] x) => (float[2,3] y) { y = Add (x, c) }")
    values = helper.make_tensor("c", FLOAT, [2], [5.0, 7.0])
    indices = helper.make_tensor("i", TensorProto.INT64, [2], [1, 5])
    proto.graph.node.insert(
        0, helper.make_node("Constant", [], ["c"], sparse_value=helper.make_sparse_tensor(values, indices, [2, 3]))
    )
    model = import_model(proto, name="m")
    check(model)
    found = evaluate(model.proto, {"x": np.zeros((2, 3), np.float32)})["y"]
    assert found.tolist() == [[0, 5, 0], [0, 0, 7]]


OPAQUE: dict[str, tuple[str, str, int]] = {  # what cannot cross a border: the graph, the operator types, their number
    "sizes that data decide": (
        "g (float[2,3] x) => (float[2,3] y) { i = NonZero (x) t = Transpose (i) z = GatherND (x, t) "
        "s = ReduceSum (z) y = Mul (x, s) }",
        "NonZero+Transpose+GatherND+ReduceSum",
        2,
    ),
    "a sequence": (
        "g (float[4,3] x) => (float[2,6] y) <int64 two = {2}> "
        "{ q = SplitToSequence <axis=0> (x, two) y = ConcatFromSequence <axis=1> (q) }",
        "SplitToSequence+ConcatFromSequence",
        1,
    ),
    "text": ("g (float[3] x) => (float[3] y) { s = Cast <to=8> (x) y = Cast <to=1> (s) }", "Cast", 1),
    "bfloat16": ("g (float[3] x) => (float[3] y) { b = Cast <to=16> (x) y = Cast <to=1> (b) }", "Cast", 1),
    "a loop": (
        "g (float[3] x) => (float[3] y) <int64 n = {4}, float[3] z = {0,0,0}> { y = Loop (n, \"\", z) <body = b "
        "(int64 i, bool c, float[3] a) => (bool d, float[3] e) { e = Add (a, x) d = Identity (c) }> }",
        "Loop",
        1,
    ),
    "an operator of another domain": (
        "g (float[3] x) => (float[3] y) { a = Neg (x) y = com.microsoft.Gelu (a) }",
        "Gelu",
        2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPAQUE)
def test_what_cannot_cross_a_border_stays_together(name: str) -> None:
    text, kind, num_ops = OPAQUE[name]
    model = import_model(parsed(text, extra=', "com.microsoft": 1'), name="m")
    check(model)
    assert kind in [op.kind for op in model.graph.ops]
    assert len(model.graph.ops) == num_ops
    assert not any(tensor.is_opaque for tensor in model.graph.tensors.values())


def test_a_path_that_leaves_a_region_and_comes_back_is_part_of_it() -> None:
    proto = parsed(
        "g (float[4] x) => (float[4] y) { i = NonZero (x) s = Shape (i) n = Cast <to=1> (s) m = ReduceMax (n) "
        "e = Mul (x, m) f = Cast <to=1> (i) r = ReduceSum (f) y = Mul (e, r) }"
    )
    model = import_model(proto, name="m")
    check(model)
    assert all(model.graph.is_convex([op.name]) for op in model.graph.ops)
    in_order = [node.name for op in model.graph.ops for node in model.nodes_of(op.name)]
    assert in_order == [node.name for node in model.proto.graph.node]


def test_outputs_of_unknown_size_are_handed_out() -> None:
    model = import_model(parsed("g (float[2,3] x) => (int64[k,2] y) { i = NonZero (x) y = Transpose (i) }"), name="m")
    assert model.graph.tensors["y"].is_opaque
    check(model)


def test_a_fixed_input_decides_a_branch() -> None:
    proto = parsed(
        "g (float[3] x, int64 rate) => (float[3] y) <int64 fast = {16000}> { c = Equal (rate, fast) y = If (c) "
        "<then_branch = t () => (float[3] p) { p = Relu (x) }, else_branch = e () => (float[3] q) { q = Neg (x) }> }"
    )
    for rate, kind in ((16000, "Relu"), (8000, "Neg")):
        fixed = {"rate": np.array(rate)}
        model = import_model(proto, name="m", fixed=fixed)
        assert [op.kind for op in model.graph.ops] == [kind]
        assert model.graph.inputs == ("x",)
        check(model, proto, fixed=fixed)
    assert [op.kind for op in import_model(proto, name="m").graph.ops] == ["Equal", "If"]


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"speed": np.array(1)}, "--fix names input 'speed', but the inputs are x, rate"),
        ({"rate": np.array(1.5)}, "--fix gives input 'rate' the value 1.5, which is no int64"),
        ({"x": np.zeros(4)}, r"--fix gives input 'x' the shape \[4\], but the model says \[3\]"),
    ],
)
def test_values_that_do_not_fit_are_refused(fixed: dict[str, np.ndarray], message: str) -> None:
    proto = parsed("g (float[3] x, int64 rate) => (float[3] y) { r = Cast <to=1> (rate) y = Mul (x, r) }")
    with pytest.raises(ModelError, match=message):
        import_model(proto, name="m", fixed=fixed)


def test_random_operators_have_no_right_answer() -> None:
    proto = parsed("g (float[8] x) => (float[8] y, float[8] z) { r = RandomNormalLike (x) y = Add (x, r) z = Neg (x) }")
    model = import_model(proto, name="m")
    assert model.comparable_outputs == ("z",)
    check(model)


def test_an_import_that_changes_the_outputs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from hetsim.models import importer

    def spoilt(fold: Callable[..., onnx.ModelProto], *args: object) -> onnx.ModelProto:
        proto = fold(*args)
        proto.graph.node[1].op_type = "Abs"
        return proto

    fold = importer.fold
    monkeypatch.setattr(importer, "fold", lambda *args: spoilt(fold, *args))
    proto = parsed("g (float[3] x) => (float[3] y) { a = Neg (x) b = Relu (a) y = Tanh (b) }")
    with pytest.raises(ModelError, match=r"would change tensor 'b' of operator 'Relu_b' \(Abs\): .* instead of 0"):
        import_model(proto, name="m")


def test_custom_operators_run_where_their_library_is() -> None:
    extensions = pytest.importorskip("onnxruntime_extensions")
    proto = parsed(
        "g (float[3,3] x) => (float[3,3] y) { a = Neg (x) b = ai.onnx.contrib.Inverse (a) y = Relu (b) }",
        extra=', "ai.onnx.contrib": 1',
    )
    model = import_model(proto, name="m", custom_ops=[extensions.get_library_path()])
    assert [op.kind for op in model.graph.ops] == ["Neg", "Inverse", "Relu"]
    assert model.graph.tensors["b"].shape == (3, 3)
    x = random_inputs(model)["x"]
    np.testing.assert_allclose(
        model.reference_outputs({"x": x})["y"], np.maximum(np.linalg.inv(-x), 0), rtol=1e-4, atol=1e-5
    )


def test_a_branch_stays_in_its_if_where_the_engine_refuses_it_outside() -> None:
    proto = parsed(
        "g (float[3] x) => (float[n] y) <int64[1] three = {3}, int64 zero = {0}, int64 step = {1}, int64 size = {3}> {"
        " s = Size (x) c = Equal (s, size)"
        " end = If (c) <then_branch = t () => (int64[k] a) { a = Identity (three) },"
        " else_branch = e () => (int64[k] b) { b = Add (three, three) }>"
        " r = Range (zero, end, step) f = Cast <to = 1> (r) y = Add (x, f) }"
    )
    check(import_model(proto, name="m"), proto)


def test_constants_within_functions_of_the_engine_are_folded() -> None:
    proto = parsed("g (float[4, 6] x) => (float[3, 5] y) <int64[2] s = {3, 5}> { y = CenterCropPad (x, s) }", opset=18)
    model = import_model(proto, name="m")
    assert [op.kind for op in model.graph.ops] == ["Pad", "Slice"]
    check(model, proto)
