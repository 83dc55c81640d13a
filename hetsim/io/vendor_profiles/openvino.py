"""OpenVINO: performance counters, of benchmark_app's CSV or of ``InferRequest.get_profiling_info()`` as JSON.

The CSV is what ``benchmark_app -report_type detailed_counters`` (or ``average_counters``) writes, a table for each
request, which a ``Total`` row ends::

    layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)
    conv1/WithoutBiases;Status.EXECUTED;Convolution;brgconv_avx512;0.736;0.736
    Total;;;;2.410;2.410

The JSON is a list with an object for each entry of ``get_profiling_info()``::

    [{"node_name": "conv1", "status": "EXECUTED", "node_type": "Convolution", "exec_type": "jit", "real_time_us": 736}]

Neither says how long the whole call took.
"""

from __future__ import annotations

import msgspec

from hetsim.core.errors import ProblemError, ProfileError
from hetsim.io.json_file import decode_json
from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile
from hetsim.io.vendor_profiles.text import Cells, check_width, columns, number, table, wrong

STATUSES = ("EXECUTED", "NOT_RUN", "OPTIMIZED_OUT")
_COLUMNS = (("layerName",), ("execStatus",), ("layerType",), ("realTime (ms)",))


class _Entry(msgspec.Struct):
    node_name: str
    status: str
    real_time_us: float
    node_type: str = ""
    exec_type: str = ""
    cpu_time_us: float = 0.0


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return text.startswith("layerName") or (text.lstrip().startswith("[") and '"node_name"' in text[:4096])


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the line or entry, if it is of another version, cut short or has an unknown status.
    """
    not_run: set[str] = set()
    is_json = text.lstrip().startswith("[")
    calls = _json_calls(text, source, not_run) if is_json else _csv_calls(text, source, not_run)
    if not any(call.ops for call in calls):
        raise ProfileError(f"{source}: expected at least one operator with the status EXECUTED, found none")
    merged = calls if len(calls) == 1 else [call for call in calls if call.ops]
    return VendorProfile(
        format="openvino",
        engine="OpenVINO performance counters",
        files=(source,),
        calls=tuple(merged),
        is_average=True,
        not_run=frozenset(not_run),
    )


def _csv_calls(text: str, source: str, not_run: set[str]) -> list[Call]:
    calls: list[Call] = []
    ops: list[OpTime] = []
    header: Cells | None = None
    line, places = 1, [0]
    for line, cells in table(text, source, delimiter=";"):
        if cells[0] == "layerName":
            header, places = cells, columns(cells, _COLUMNS, source, line)
            continue
        if header is None:
            raise wrong(source, line, "expected the header that begins with layerName before the layers of a request")
        check_width(cells, header, source, line)
        name, status, kind, milliseconds = (cells[place] for place in places)
        if (name, status) == ("Total", ""):
            calls.append(Call(ops=tuple(ops)))
            ops, header = [], None
            continue
        _check_status(status.removeprefix("Status."), f"{source}, line {line}")
        if status.endswith("EXECUTED"):
            ops.append(_op(name, kind, number(milliseconds, "realTime (ms)", source, line) * 1e-3))
        else:
            not_run.add(name)
    if header is not None or not calls:
        raise wrong(source, line, "expected a Total row at the end of each request; is the file cut short?")
    return calls


def _json_calls(text: str, source: str, not_run: set[str]) -> list[Call]:
    try:
        entries = decode_json(text.encode(), list[_Entry])
    except ProblemError as error:
        raise ProfileError(f"{source}, {error}") from None
    for place, entry in enumerate(entries, 1):
        _check_status(entry.status.removeprefix("Status."), f"{source}, entry {place}")
        if not 0 <= entry.real_time_us < 1e15:
            raise ProfileError(f"{source}, entry {place}: expected real_time_us of 0 or more")
    not_run.update(entry.node_name for entry in entries if not entry.status.endswith("EXECUTED"))
    ran = [entry for entry in entries if entry.status.endswith("EXECUTED")]
    return [Call(ops=tuple(_op(entry.node_name, entry.node_type, entry.real_time_us * 1e-6) for entry in ran))]


def _check_status(status: str, where: str) -> None:
    if status not in STATUSES:
        raise ProfileError(f"{where}: expected a status of {', '.join(STATUSES)}, found {status!r}")


def _op(name: str, kind: str, seconds: float) -> OpTime:
    return OpTime(name=name, candidates=(name, name.removesuffix("/WithoutBiases")), kind=kind, seconds=seconds)
