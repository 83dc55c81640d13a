"""Vendors' profiles: what each format says, and one line for files of other versions, cut short or unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hetsim.core.errors import ProfileError
from hetsim.io.vendor_profiles import FORMAT_NAMES
from hetsim.io.vendor_profiles.reading import FORMATS, read_vendor_profile
from tests.support import vendor_profiles as samples


def write(folder: Path, text: str, name: str = "profile") -> Path:
    (folder / name).write_text(text)
    return folder / name


TEXTS = {
    "qnn-optrace": samples.optrace(),
    "qnn-qhas": samples.qhas(),
    "onnxruntime": samples.onnxruntime(),
    "openvino": samples.OPENVINO,
    "vela": samples.VELA,
    "litert": samples.LITERT,
    "executorch": samples.executorch(),
}
CLOCK_HZ = {"vela": 1e8}


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_a_format_is_guessed_and_equals_the_stated_one(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, TEXTS[name])
    guessed = read_vendor_profile([path], clock_hz=CLOCK_HZ.get(name))
    assert guessed.format == name
    assert guessed == read_vendor_profile([path], format=name, clock_hz=CLOCK_HZ.get(name))
    assert tuple(FORMATS) == FORMAT_NAMES


def test_a_trace_of_calls_divides_the_busy_time_by_cycles(tmp_path: Path) -> None:
    profile = read_vendor_profile([write(tmp_path, samples.optrace())])
    cold, warm = profile.calls[:2]
    assert len(profile.calls) == 4
    assert [op.seconds for op in warm.ops] == pytest.approx([10e-6, 30e-6, 40e-6, 60e-6, 20e-6, 40e-6, 0])
    assert [op.seconds for op in cold.ops[:2]] == pytest.approx([50e-6, 150e-6])  # 1000 us over 4000 cycles
    assert warm.total_s == pytest.approx(5e-3)
    assert warm.launch_s == pytest.approx(4.8e-3)
    assert sum(warm.launch_parts_s.values()) == pytest.approx(4.8e-3)
    assert list(warm.launch_parts_s.values()) == pytest.approx([0.5e-3, 2.5e-3, 1.78e-3, 0.02e-3])
    assert warm.also_s == pytest.approx({"acquiring on-chip memory": 150e-6, "powering on": 20e-6})
    assert (warm.ops[2].candidates, warm.ops[4].candidates) == (("first", "first_token_1_2"), ("third", "third_3"))


def test_a_summary_beside_a_trace_gives_traffic_alone(tmp_path: Path) -> None:
    trace, summary = write(tmp_path, samples.optrace(), "a"), write(tmp_path, samples.qhas(), "b")
    both = read_vendor_profile([trace, summary])
    assert both.format == "qnn-optrace"
    assert both.traffic_bytes == {"first_token_1_2": 1024, "second_token_3_2": 2000, "Transpose_token_9_2": 0}
    alone = read_vendor_profile([summary])
    assert [op.seconds for op in alone.calls[0].ops] == pytest.approx([25e-6, 50e-6, 25e-6])
    assert len(read_vendor_profile([trace, trace]).calls) == 8
    with pytest.raises(
        ProfileError, match=r"b \(qnn-qhas\)|a \(qnn-optrace\) neither has the format of .*b \(qnn-qhas"
    ):
        read_vendor_profile([summary, trace])


def test_runs_of_a_session_end_where_it_says(tmp_path: Path) -> None:
    first, second = read_vendor_profile([write(tmp_path, samples.onnxruntime())]).calls
    assert (first.total_s, second.total_s) == pytest.approx((400e-6, 145e-6))
    assert [op.seconds for op in second.ops] == pytest.approx([5e-6, 50e-6, 30e-6, 20e-6, 10e-6])
    assert second.launch_s == pytest.approx(30e-6)


def test_times_of_the_others(tmp_path: Path) -> None:
    wanted = pytest.approx([50e-6, 30e-6, 20e-6, 10e-6])
    for text, clock_hz, first in (
        (samples.OPENVINO, None, 1),
        (samples.VELA, 1e8, 0),
        (samples.LITERT, None, 0),
        (samples.executorch(), None, 0),
    ):
        (call,) = read_vendor_profile([write(tmp_path, text)], clock_hz=clock_hz).calls
        assert [op.seconds for op in call.ops[first:]] == wanted
    assert call.launch_s == pytest.approx(90e-6)
    (call,) = read_vendor_profile([write(tmp_path, samples.OPENVINO_JSON)]).calls
    assert [(op.candidates[-1], op.seconds) for op in call.ops] == [("first", pytest.approx(50e-6))]
    target = samples.VELA.replace("NNG Operator,", "Target,").replace("Conv2DBias,", "NPU,").replace("AvgPool,", "CPU,")
    (call,) = read_vendor_profile([write(tmp_path, target)], clock_hz=1e8).calls
    assert len(call.ops) == 3


LINES = samples.optrace().splitlines(keepends=True)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected the beginning of a known format \(qnn-optrace: .*\), found ''; say --format"),
        ("op,ms\na,1\n", r"line 1: expected the beginning of a known format .*found 'op,ms'"),
        (changed(samples.optrace(), "Event Level", "Level"), r"line 1: expected the columns .*Event Level, .* found"),
        ("".join(LINES[:20])[:-12] + "\n", r"line 20: expected 'QNN \(execute\) time' of an EXECUTE row .*; cut short"),
        ("".join(LINES[:6]) + LINES[6][:14], r"line 7: expected 7 cells \(Msg Timestamp, .*found 3; is the file cut"),
        ("".join(LINES[:4]), r"line 4: expected at least one execution"),
        (changed(samples.optrace(), "0,NODE,200", "0,NODES,200"), r"expected a message of BACKEND, .* found 'NODES'"),
        (
            changed(samples.optrace(), "RPC (execute) time", "RPC time"),
            r"line 6: unknown event 'RPC time' of BACKEND at",
        ),
        (changed(samples.optrace(), "1200,US", "1200,MS"), r"line 18: expected the unit US for 'Accelerator .*'MS'"),
        (changed(samples.optrace(), "0,NODE,800", "0,NODE,-800"), r"line 13: expected first.* 0 or more, found '-800'"),
        (
            "".join(LINES[:12] + LINES[13:]),
            r"line 20: expected NODE rows of 4000 cycles .* found 3200; rows are missing",
        ),
        (
            "".join(LINES[:6] + LINES[7:]),
            r"line 20: expected 'QNN accelerator \(execute\) time' in the execution that ends",
        ),
        (changed(samples.optrace(), "7000,US", "9999,US"), r"line 21: expected the application's time >= RPC"),
        (samples.qhas(major=2), r"header\.header_version\.major: expected 1, found 2"),
        (samples.qhas()[:-40], r"malformed"),
        (changed(samples.qhas(), "graph_execute_us", "us"), r"graph_execute_us"),
        (changed(samples.qhas(), '"cycles": 250.0', '"cycles": -1'), r"nodes\.data\[0\]: expected cycles of 0 or more"),
        (samples.onnxruntime()[:-40], r"malformed"),
        (changed(samples.onnxruntime(), '"Node"', '"Nodes"'), r"event 2: expected a category of Session, .*'Nodes'"),
        (changed(samples.onnxruntime(), "b_nchwc_kernel_time", "b"), r"event 3: expected a node's name to end in"),
        (changed(samples.onnxruntime(), '"dur": 200', '"dur": "x"'), r"event 3dur: Expected `float`|event 3\.dur: Exp"),
        (
            json.dumps([samples.ort_event("a_kernel_time", 5)]),
            r"event 1: expected 'model_run' after .* found 1 kernels",
        ),
        (changed(samples.OPENVINO, "Total;;;;0.115;0.115\n", ""), r"line 8: expected a Total row at the end"),
        (changed(samples.OPENVINO, "Status.EXECUTED", "Status.RAN"), r"line 3: expected a status of EXECUTED, .*'RAN'"),
        (
            changed(samples.OPENVINO, "realTime (ms)", "time"),
            r"line 1: expected a column 'realTime \(ms\)', found layer",
        ),
        (changed(samples.OPENVINO, "0.050;0.050", "0.050"), r"line 4: expected 6 cells"),
        (changed(samples.OPENVINO_JSON, "real_time_us", "real_time"), r"missing required field `real_time_us`"),
        (changed(samples.LITERT, "regular".title() + " Benchmark", "Other"), r"expected a line 'Operator-wise Prof"),
        (
            samples.LITERT[: samples.LITERT.index("[c]")],
            r"line 10: expected an empty line after the table in run order",
        ),
        (changed(samples.LITERT, "0.030, 27.3%", "fast, 27.3%"), r"line 10: expected avg_ms as a number .* 'fast'"),
        (
            changed(samples.executorch(), "Method::execute", "Method::run"),
            r"line 8: expected operators and 'Method::exec",
        ),
        (changed(samples.executorch(), "p50 (ms)", "p50 (us)"), r"line 1: expected a column 'p50 \(ms\)'"),
        (changed(samples.executorch(), "True", "maybe"), r"line 3: expected True or False for is_delegated_op"),
    ],
)
def test_every_mistake_is_one_line_that_says_what_was_expected(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ProfileError, match=message) as caught:
        read_vendor_profile([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mistakes_of_the_caller(tmp_path: Path) -> None:
    path = write(tmp_path, samples.VELA)
    with pytest.raises(ProfileError, match="states cycles and no clock; give the device's clock with --clock-hz"):
        read_vendor_profile([path])
    with pytest.raises(ProfileError, match="clock must be above 0 Hz, got -1"):
        read_vendor_profile([path], clock_hz=-1)
    with pytest.raises(ProfileError, match=r"line 2: expected 12 cells"):
        read_vendor_profile([write(tmp_path, changed(samples.VELA, ",b;first", ""))], clock_hz=1e8)
    with pytest.raises(ProfileError, match=r"there is no format 'tensorrt' of profiles; there are qnn-optrace, "):
        read_vendor_profile([path], format="tensorrt")
    with pytest.raises(ProfileError, match="states times, so it takes no clock"):
        read_vendor_profile([write(tmp_path, samples.LITERT)], clock_hz=1e9)
    with pytest.raises(ProfileError, match=r"cannot read the profile .*No such file"):
        read_vendor_profile([tmp_path / "absent"])
    with pytest.raises(ProfileError, match="name at least one file"):
        read_vendor_profile([])
