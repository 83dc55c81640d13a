"""What was imported, for people: what matched, and how much of a call is launch cost."""

from __future__ import annotations

from collections.abc import Sequence

from hetsim.costs.hypothetical.imports.imported import CallCosts, ImportedProfile

_MAX_NAMES = 1000


def describe(imported: ImportedProfile, device: str) -> list[str]:
    """Lines that say where the times are from, what they consist of, and what matched on either side."""
    lines = [f"{device} (hypothetical): {imported.model} by {imported.origin}", _shares(imported)]
    if imported.costs.launch_parts_s:
        lines.append(f"launch cost: {_parts(imported.costs)}")
    cold = imported.cold
    if cold is not None and cold.total_s is not None and imported.which == "warm":
        lines.append(
            f"the first call, cold: {_ms(cold.total_s)}, launch cost {_ms(cold.launch_s)}"
            + (f": {_parts(cold)}" if cold.launch_parts_s else "")
        )
    return [*lines, *_matches(imported)]


def _shares(imported: ImportedProfile) -> str:
    """The parts of a call and their shares."""
    total_s, launch_s = imported.costs.total_s, imported.costs.launch_s
    ops = f"{len(imported.seconds)} operators of the model {{}}, inserted ones {{}}, unmatched ones {{}}"
    parts_s = (imported.ops_s, imported.inserted_s, imported.unmatched_s)
    stated = "" if imported.stated_launch_s is None else f"; launch cost stated as {_ms(imported.stated_launch_s)}"
    if total_s is None:
        return f"{ops.format(*map(_ms, parts_s))}" + (
            stated or "; the profile has no launch cost, --launch-s states one"
        )
    shares = [f"{_ms(part_s)} ({part_s / total_s:.1%})" for part_s in (launch_s, *parts_s)]
    return f"a call of {_ms(total_s)}: launch cost {shares[0]}, {ops.format(*shares[1:])}{stated}"


def _parts(costs: CallCosts) -> str:
    parts = [f"{name} {_ms(seconds)}" for name, seconds in costs.launch_parts_s.items()]
    also = [f"{name} {_ms(seconds)}" for name, seconds in costs.also_s.items()]
    return ", ".join(parts) + (f" (within these: {', '.join(also)})" if also else "")


def _matches(imported: ImportedProfile) -> list[str]:
    matching = imported.matching
    num_theirs = len(matching.ops_of) + len(matching.inserted) + len(matching.unmatched)
    num_ours = len(imported.seconds) + len(matching.fused) + len(matching.untimed)
    by_order = f", {matching.num_by_order} of them by type and order alone" if matching.num_by_order else ""
    lines = [
        f"matched: {len(matching.ops_of)} of the profile's {num_theirs} operators{by_order}; of the model's "
        f"{num_ours}, {len(imported.seconds)} have a time and {len(matching.fused)} are fused into those"
    ]
    if matching.inserted:
        lines.append(f"inserted, counted as launch cost: {_listed(matching.inserted)}")
    if matching.unmatched:
        lines.append(f"in the profile, not in the model, left out: {_listed(matching.unmatched)}")
    if matching.untimed:
        lines.append(f"in the model, not in the profile, so {imported.model} cannot run there whole: "
                     f"{_listed(matching.untimed)}")  # fmt: skip
    return lines


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{len(names)}: {', '.join(names[:_MAX_NAMES])}{more}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
