"""Everything that reads a file, with a good file to spoil, and what is done with what it read."""

from __future__ import annotations

import contextlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import onnx

from experiments.npu_speed.rows import SpeedLine
from experiments.shared.records import columns, read_rows
from hetsim.core.dataflow import check_plan
from hetsim.core.errors import HetsimError, ProblemError
from hetsim.core.problem import Problem
from hetsim.costs.hypothetical.imports.description import describe
from hetsim.costs.hypothetical.imports.device_file import times_csv
from hetsim.costs.hypothetical.imports.imported import import_profile
from hetsim.costs.problems import make_problem
from hetsim.costs.profile import Header, Samples, SerialRuns, Unsupported
from hetsim.costs.profile_file import load_profile
from hetsim.io.plan_file import load_plan
from hetsim.io.platform_file import format_platform, load_platform, parse_platform
from hetsim.io.problem_file import load_problem, save_problem
from hetsim.io.task_graphs.load import load_task_graph
from hetsim.io.vendor_profiles.reading import read_vendor_profile
from hetsim.models.importer import load_model
from hetsim.scheduler import make_plan as plan_by
from hetsim.sim.simulate import simulate
from tests.fuzz import mutations
from tests.support import vendor_profiles
from tests.support.models import fake_platform, fork_join, images, make_plan
from tests.support.planning.task_graphs import DOT, STG, WORKFLOW, older_workflow

_MODEL, _PLATFORM, _IMAGES = fork_join(), fake_platform(), images()
_SECRET = b"hetsim must not read this. " * 3


class Leaked(Exception):  # noqa: N818  (a finding)
    """A reader gave away what lies outside the model's folder."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Something that reads a file.

    Attributes:
        suffix: Of its files.
        seeds: Good files.
        spoil: Changes one so that it still has the format's structure, or nearly.
        read: Reads the file at a path and uses what it says.
        share: How many of a hundred inputs are for it.
    """

    suffix: str
    seeds: tuple[bytes, ...]
    spoil: Callable[[bytes, Random], bytes]
    read: Callable[[Path], object]
    share: int

    def content(self, rng: Random) -> bytes:
        """A hostile file; the same for the same generator."""
        seed = rng.choice(self.seeds)
        kind = rng.random()
        if kind < 0.75:
            seed = self.spoil(seed, rng)
        if kind > 0.65:
            seed = mutations.raw(seed, rng)
        return seed


def prepare(folder: Path) -> None:
    """Lay out what hostile models try to reach: ``folder/model`` is theirs, all else is not."""
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    (folder / "secret.bin").write_bytes(_SECRET)
    (model / "weights.bin").write_bytes(bytes(4096))
    with contextlib.suppress(FileExistsError):
        (model / "link.bin").symlink_to(folder / "secret.bin")
        (model / "linked").symlink_to(folder)


def _read_onnx(path: Path) -> None:
    model = load_model(path)
    if _SECRET[:27] in model.proto.SerializeToString():
        raise Leaked("the model holds what lies outside its folder")


def _read_plan(path: Path) -> None:
    check_plan(_MODEL.graph, load_plan(path), device_names=_PLATFORM.device_names, model_hash=_MODEL.hash)


def _read_profile(path: Path) -> None:
    make_problem(_MODEL, _PLATFORM, load_profile(path))


def _read_platform(path: Path) -> None:
    platform = load_platform(path)
    if parse_platform(format_platform(platform), source="again") != platform:
        raise AssertionError("a platform does not survive its file")


def _read_problem(path: Path) -> None:
    problem = load_problem(path)
    with contextlib.suppress(ProblemError):  # no single device may have all operators
        simulate(problem, plan_by(f"single:{problem.platform.device_names[0]}", problem))


def _read_task_graph(path: Path) -> None:
    problem = load_task_graph(path, speeds={"cpu": 1.0, "npu": 2.0})
    save_problem(problem, path.with_suffix(".problem"))
    if _dependencies(load_problem(path.with_suffix(".problem"))) != _dependencies(problem):
        raise AssertionError("a task graph does not survive its problem file")


def _dependencies(problem: Problem) -> dict[str, set[str]]:
    return {op: set(others) for op, others in problem.graph.predecessors.items()}


def _read_csv(path: Path) -> None:
    read_rows(path, SpeedLine)


def _read_vendor_profile(path: Path) -> None:
    has_clock = not path.read_bytes().lstrip().startswith((b"TFLite_operator", b"Original Operator"))
    found = import_profile(read_vendor_profile([path], clock_hz=None if has_clock else 1e8), _IMAGES.graph, by="order")
    describe(found, "npu")
    times_csv(found, "npu")


def _json(content: bytes, rng: Random) -> bytes:
    return mutations.as_json(mutations.tree(json.loads(content), rng))


def _lines(content: bytes, rng: Random) -> bytes:
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    lines[at] = mutations.as_json(mutations.tree(json.loads(lines[at]), rng))
    if rng.random() < 0.3:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"\n".join(lines) + b"\n" * (rng.random() < 0.9)


def _toml(content: bytes, rng: Random) -> bytes:
    return mutations.as_toml(mutations.tree(tomllib.loads(content.decode()), rng))


def readers() -> dict[str, Reader]:
    """By name."""
    return {
        "onnx": Reader(suffix=".onnx", seeds=_models(), spoil=mutations.onnx_model, read=_read_onnx, share=18),
        "platform": Reader(suffix=".toml", seeds=(_platform(),), spoil=_toml, read=_read_platform, share=11),
        "profile": Reader(suffix=".jsonl", seeds=(_profile(),), spoil=_lines, read=_read_profile, share=11),
        "plan": Reader(suffix=".json", seeds=(_plan(),), spoil=_json, read=_read_plan, share=11),
        "problem": Reader(suffix=".json", seeds=(_problem(),), spoil=_json, read=_read_problem, share=11),
        "workflow": Reader(suffix=".json", seeds=_workflows(), spoil=_json, read=_read_task_graph, share=5),
        "stg": Reader(suffix=".stg", seeds=STG, spoil=mutations.text, read=_read_task_graph, share=5),
        "dot": Reader(suffix=".dot", seeds=DOT, spoil=mutations.text, read=_read_task_graph, share=5),
        "vendor-table": Reader(
            suffix=".csv", seeds=_vendor_tables(), spoil=mutations.table, read=_read_vendor_profile, share=8
        ),
        "vendor-json": Reader(suffix=".json", seeds=_vendor_json(), spoil=_json, read=_read_vendor_profile, share=8),
        "csv": Reader(suffix=".csv", seeds=(_csv(),), spoil=mutations.table, read=_read_csv, share=7),
    }


def _models() -> tuple[bytes, ...]:
    from tests.support.models import small_net

    outside = small_net()
    for tensor in outside.graph.initializer[:1]:
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "1152")):
            tensor.external_data.add(key=key, value=value)
    old = small_net()
    old.ir_version, old.opset_import[0].version = 3, 9
    for tensor in old.graph.initializer:
        old.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return tuple(proto.SerializeToString() for proto in (small_net(), _MODEL.proto, outside, old))


def _vendor_tables() -> tuple[bytes, ...]:
    own = vendor_profiles
    texts = (own.optrace(), own.OPENVINO, own.VELA, own.LITERT, own.executorch())
    return tuple(text.encode() for text in texts)


def _vendor_json() -> tuple[bytes, ...]:
    texts = (vendor_profiles.qhas(), vendor_profiles.onnxruntime(), vendor_profiles.OPENVINO_JSON)
    return tuple(text.encode() for text in texts)


def _platform() -> bytes:
    text = format_platform(load_platform("cpu+npu"))
    return (text + '\n[link."npu->cpu"]\nsetup_s = 1e-6\nbandwidth_bytes_per_s = 1e9\nmode = "copy"\n').encode()


def _profile() -> bytes:
    import msgspec

    header = Header(
        model="fork_join",
        model_hash=_MODEL.hash,
        machine="m",
        engines=dict.fromkeys(_PLATFORM.device_names, "fake engine"),
        date="2026-11-22",
    )
    records = [
        Samples(device=device, ops=(op.name,), context="configuration:operators", samples_s=(1e-3, 2e-3, 1.5e-3))
        for device in _PLATFORM.device_names
        for op in _MODEL.graph.ops
    ]
    records.append(Samples(device="cpu", ops=("stem", "left"), context="final:1", samples_s=(1e-3,), shared=("s", "l")))
    splits = ((("right", "right2"), "rows", (2,)),)
    serial_runs = SerialRuns(device="npu", context="final:1", speed_probe_s=(1e-4,), splits=splits)
    parts = tuple(f"{op}[rows 0:2]" for op in ("slice s", "right", "right2"))
    records.append(Samples(device="npu", ops=parts, context="final:1", samples_s=(1e-3,), shared=("r2[rows 0:2]",)))
    refused = Unsupported(device="npu", ops=("join",), reason="no")
    return b"".join(msgspec.json.encode(record) + b"\n" for record in (header, serial_runs, *records, refused))


def _plan() -> bytes:
    plan = make_plan(_MODEL, cpu=["stem", "left", "join"], npu=["right right2"])
    queues = {device: [{"ops": list(s.ops)} for s in queue] for device, queue in plan.queues.items()}
    return mutations.as_json({"format": 1, "model": plan.model, "model_hash": plan.model_hash, "devices": queues})


def _problem() -> bytes:
    return mutations.as_json(
        {
            "name": "p",
            "devices": ["cpu", "npu"],
            "ops": {"a": {"cpu": 1.0, "npu": 0.5}, "b": {"cpu": 1.0}, "c": {"cpu": 2.0, "npu": 0.1}},
            "edges": [["a", "b", 4096], ["a", "c", 64, "t"], ["b", "c", 0]],
            "links": {"cpu->npu": {"setup_s": 0.1, "bandwidth_bytes_per_s": 1e9}, "npu->cpu": {"mode": "copy"}},
            "groups": [{"ops": ["a", "b"], "cost_s": {"cpu": 1.5, "npu": None}}],
            "traffic_bytes": {"a": {"cpu": 10}},
            "sharing_s": {"a": {"cpu": [0.25, 0.5], "npu": [0.0, 1.0]}},
            "memory": {"shared_bytes_per_s": 1e10},
            "host": {"submit_setup_s": 1e-6},
        }
    )


def _workflows() -> tuple[bytes, ...]:
    return mutations.as_json(WORKFLOW), mutations.as_json(older_workflow(WORKFLOW))


def _csv() -> bytes:
    lines = [",".join(columns(SpeedLine))]
    lines += ['net,"cpu+npu",1.5,search,0.01,3,0.011,best,npu (stand-in),abc', "net,cpu,2,heft,1e-3,1,,best,npu,abc"]
    return "\n".join(lines).encode() + b"\n"


def check(reader: Reader, path: Path, content: bytes) -> str | None:
    """What is wrong with how a reader takes a file; None if it reads it, or refuses it as it should."""
    path.write_bytes(content)
    try:
        reader.read(path)
    except HetsimError as error:
        message = str(error)
        if not message or "\n" in message or len(message) > 4000:
            return f"the message is not one line: {message[:300]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return None
