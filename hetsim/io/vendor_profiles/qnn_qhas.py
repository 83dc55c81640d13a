"""Qualcomm QNN: the JSON summary of one execution (QHAS), with cycles and memory traffic per operator.

Of it ``header``, ``data.htp_overall_summary`` and ``data.qnn_op_instances_nodes`` are read. Operators' cycles are those
of all threads; the time of the graph is divided in proportion to them. What an application waits for beside the graph
is not in the file.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hetsim.core.errors import ProblemError, ProfileError
from hetsim.io.json_file import convert, decode_json
from hetsim.io.vendor_profiles.qnn_optrace import kind_of, names_of
from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile

VERSION = 1


class _Summary(msgspec.Struct):
    graph_execute_us: float


class _Instance(msgspec.Struct):
    qnn_op: str
    cycles: float
    percent_active_cycles: float
    qnn_op_type: str = ""
    dram_read: int = 0
    dram_write: int = 0


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return text.lstrip().startswith("{") and '"QHAS"' in text[:4096]


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the field, if it is of another version, cut short or has impossible values.
    """
    try:
        content = decode_json(text.encode(), dict[str, Any])
        major = convert(_at(content, "header", "header_version", "major"), int, "header.header_version.major")
        if major != VERSION:
            raise ProblemError(f"header.header_version.major: expected {VERSION}, found {major}")
        where = "data.htp_overall_summary.data"
        summaries = convert(_at(content, *where.split(".")), list[_Summary], where)
        where = "data.qnn_op_instances_nodes.data"
        instances = convert(_at(content, *where.split(".")), list[_Instance], where)
    except ProblemError as error:
        raise ProfileError(f"{source}, {error}") from None
    if len(summaries) != 1 or not instances:
        raise ProfileError(
            f"{source}: expected one summary and some operators in data.qnn_op_instances_nodes, found "
            f"{len(summaries)} and {len(instances)}"
        )
    for number, one in enumerate(instances):
        if not (0 <= one.cycles < 1e18 and 0 <= one.percent_active_cycles <= 100.0 and one.dram_read >= 0):
            raise ProfileError(f"{source}, {where}[{number}]: expected cycles of 0 or more and a share of 0 to 100 %")
    if not 0 < summaries[0].graph_execute_us < 1e12:
        raise ProfileError(f"{source}, data.htp_overall_summary.data[0].graph_execute_us: expected more than 0")
    return VendorProfile(
        format="qnn-qhas",
        engine="Qualcomm QNN QHAS",
        files=(source,),
        calls=(Call(ops=tuple(_op(one, summaries[0].graph_execute_us * 1e-6) for one in instances)),),
        is_average=True,
        traffic_bytes={one.qnn_op: one.dram_read + one.dram_write for one in instances},
    )


def _op(one: _Instance, graph_s: float) -> OpTime:
    return OpTime(
        name=one.qnn_op,
        candidates=names_of(one.qnn_op),
        kind=one.qnn_op_type or kind_of(one.qnn_op),
        seconds=one.percent_active_cycles / 100 * graph_s,
    )


def _at(content: object, *keys: str) -> object:
    for number, key in enumerate(keys):
        if not isinstance(content, dict) or key not in content:
            raise ProblemError(f"{'.'.join(keys[:number]) or 'the file'}: expected a field {key!r}")
        content = content[key]
    return content
