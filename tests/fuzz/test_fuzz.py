"""Hostile files: a short run over every reader, and inputs that were findings once. ``make fuzz`` runs many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import onnx.parser
import pytest

from experiments.npu_speed.rows import SpeedLine
from experiments.shared.records import read_rows
from hetsim.core.errors import HetsimError, ModelError
from hetsim.costs.profile_file import load_profile
from hetsim.io.files import MAX_BYTES
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import load_platform
from hetsim.io.problem_file import load_problem
from hetsim.io.task_graphs.wfcommons import load_workflow
from hetsim.models.importer import import_model, load_model
from tests.fuzz.readers import prepare
from tests.support.models import fork_join


@pytest.mark.slow
def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "700", "--seed", "3", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "700 inputs, 0 findings" in done.stdout


def workflow(path: Path) -> object:
    return load_workflow(path, speeds={"cpu": 1.0})


def rows(path: Path) -> object:
    return read_rows(path, SpeedLine)


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        # msgspec finds out about bytes that are no text only when it makes the text
        (load_plan, b'{"model": "\xb6", "devices": {}}', "malformed: 'utf-8' codec"),
        (load_profile, b'{"record": "\xf0"}\n', "line 1 is malformed"),
        # JSON may spell half of a character, which nothing can print
        (workflow, b'{"name": "\\ud800", "schemaVersion": "1.5", "workflow": {}}', "is not Unicode"),
        (load_problem, b'{"devices": ["\\ud800"], "ops": {}}', "is not Unicode"),
        (rows, b"model\xff\n", "is no CSV: 'utf-8' codec"),
        (load_platform, b"\xff", "not UTF-8 text"),
        (load_plan, b"[" * 100_000, "malformed"),
        (load_model, b"\x08\x08", "has no graph"),
    ],
)
def test_inputs_that_were_findings_once(read, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    with pytest.raises(HetsimError, match=message):
        read(path)


@pytest.mark.parametrize("read", [load_plan, load_problem, load_platform, workflow])
def test_what_is_larger_than_any_good_file_is_not_read(read, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(MAX_BYTES + 1)  # a hole on disk
    for endless in (path, Path("/dev/zero")):
        with pytest.raises(HetsimError, match="more than 64 MiB"):
            read(endless)


def test_a_model_is_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a regular file"):
        load_model("/dev/zero")
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match=r"has 2\.1 GB, more than the 2\.1 GB that a protobuf message can hold"):
        load_model(path)


def with_weight_at(location: str) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    proto.CopyFrom(fork_join().proto)
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    weight.external_data.add(key="length", value="81")
    return proto


@pytest.mark.parametrize(
    "location", ["../secret.bin", "{root}/secret.bin", "link.bin", "linked/secret.bin", "linked/../secret.bin"]
)
def test_weights_outside_the_models_folder_are_not_read(location: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    proto = with_weight_at(location.format(root=tmp_path))
    path = tmp_path / "model" / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="leads out of its folder; put the weights beside it"):
        load_model(path)
    with pytest.raises(ModelError, match="'w' is in another file"):  # nor by an engine that is handed the model
        import_model(proto, name="m")


def test_hostile_graphs_are_one_line() -> None:
    recursive = fork_join().proto
    proto = onnx.ModelProto()
    proto.CopyFrom(recursive)
    function = proto.functions.add(name="F", domain="local", input=["a"], output=["b"])
    function.opset_import.add(domain="local", version=1)
    function.node.add(op_type="F", domain="local", input=["a"], output=["b"])
    with pytest.raises(ModelError, match=r"cannot load the model: .*[Cc]ycl"):
        import_model(proto, name="m")
    content = recursive.SerializeToString().replace(b"MatMul", b"\xcdatMul")
    with pytest.raises(ModelError, match="is not Unicode"):
        import_model(onnx.ModelProto.FromString(content), name="m")


def test_a_few_bytes_do_not_ask_for_terabytes() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1000000, 1000000] y)
        { n = Constant <value_ints = [1000000, 1000000]> () c = ConstantOfShape (n) y = Add (c, x) }"""
    )
    with pytest.raises(ModelError, match=r"tensor 'c' has 4000\.0 GB, more than the 2\.1 GB"):
        import_model(proto, name="m")


def test_errors_are_one_line_of_bounded_length() -> None:
    description = str(HetsimError("a\nb\x00c\u202e" + "d" * 9000))
    assert description.startswith("a b c d")
    assert len(description) < 2100
    assert description.isprintable()
