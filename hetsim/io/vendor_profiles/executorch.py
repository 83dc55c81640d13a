"""ExecuTorch: the table of events that its Inspector saves (``save_data_to_tsv``), tab-separated.

::

    event_block_name  event_name       p10 (ms)  p50 (ms)  ...  op_types  is_delegated_op  delegate_backend_name
    Execute           Method::execute  0.048     0.052     ...  []        False

Of the block ``Execute`` the delegate's events are operators, and the operators that were not delegated
(``native_call_...``). ``DELEGATE_CALL`` holds the delegate's events, and counts where these are not in the file.
``Method::execute`` is the whole call. Medians (p50) are read.
"""

from __future__ import annotations

from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile
from hetsim.io.vendor_profiles.text import Cells, check_width, columns, number, table, wrong

_COLUMNS = (("event_block_name",), ("event_name",), ("p50 (ms)",), ("op_types",), ("is_delegated_op",))
_CALL, _DELEGATE, _NATIVE = "Method::execute", "DELEGATE_CALL", "native_call_"


def looks_like(text: str) -> bool:
    """Whether a text begins as files of this format do."""
    return "event_block_name" in text[:200]


def parse(text: str, source: str) -> VendorProfile:
    """The profile in a text.

    Raises:
        ProfileError: With the line, if it is of another version or cut short.
    """
    header: Cells | None = None
    total_s: float | None = None
    delegated, delegates, native = [], [], []
    line = 1
    for line, cells in table(text, source, delimiter="\t"):
        if header is None:
            header, places = cells, columns(cells, _COLUMNS, source, line)
            continue
        check_width(cells, header, source, line)
        block, name, milliseconds, types, is_delegated = (cells[place] for place in places)
        if is_delegated.lower() not in ("true", "false"):
            raise wrong(source, line, f"expected True or False for is_delegated_op, found {is_delegated!r}")
        if block != "Execute":
            continue
        seconds = number(milliseconds, "p50 (ms)", source, line) * 1e-3
        op = OpTime(name=name, candidates=(name,), kind=_kind(name, types), seconds=seconds)
        if name == _CALL:
            total_s = seconds
        elif is_delegated.lower() == "true":
            delegated.append(op)
        elif name == _DELEGATE:
            delegates.append(op)
        elif name.startswith(_NATIVE):
            native.append(op)
    ops = (*(delegated or delegates), *native)
    if total_s is None or not ops:
        raise wrong(source, line, f"expected operators and {_CALL!r} in the block Execute; is the file cut short?")
    call = Call(ops=ops, total_s=max(total_s, sum(op.seconds for op in ops)))
    return VendorProfile(
        format="executorch", engine="ExecuTorch Inspector", files=(source,), calls=(call,), is_average=True
    )


def _kind(name: str, types: str) -> str:
    """The operator type: of the kernel's name, or of the first of the operators that the event is for."""
    if name.startswith(_NATIVE):
        return name.removeprefix(_NATIVE).split(".")[0]
    if name == _DELEGATE:
        parts = types.strip("[]'\" ").split(".")
        return parts[1] if len(parts) > 1 and "," not in types else ""
    return name.split("(")[0].strip()
