"""A vendor's profile as costs of a model's operators: their times, and what a call costs beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from hetsim.core.errors import ProfileError
from hetsim.core.graph import Graph
from hetsim.costs.hypothetical.imports.matching import By, Matching, match
from hetsim.io.vendor_profiles.records import Call, OpTime, VendorProfile

Which = Literal["warm", "cold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCosts:
    """What a call takes, in seconds.

    Attributes:
        total_s: The whole call; None if the profile does not say.
        launch_s: What it takes beside the operators of the profile; 0 if the profile does not say.
        launch_parts_s: By description, disjoint parts of that.
        also_s: By description, times within those parts that the profile states besides.
    """

    total_s: float | None
    launch_s: float
    launch_parts_s: Mapping[str, float]
    also_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedProfile:
    """A vendor's profile as costs of a model.

    Attributes:
        model: Name of the model.
        origin: Where the times come from, for people.
        which: Which calls they are medians of.
        num_calls: How many calls the profile has, and ...
        num_used: ... of how many they are medians.
        matching: What the profile's operators are in the model.
        seconds: By matched operator of the model, its time without launch.
        traffic_bytes: By matched operator, what it moves to and from the main memory, where the profile says so.
        inserted_s: Time of operators that the compiler inserted; part of the device's launch cost.
        unmatched_s: Time of operators that are none of the model's; left out.
        costs: The calls that were used.
        cold: The first call; None if the profile does not tell it from later ones.
        stated_launch_s: The launch cost that the user states instead of the profile's; None if he states none.
    """

    model: str
    origin: str
    which: Which
    num_calls: int
    num_used: int
    matching: Matching
    seconds: Mapping[str, float]
    traffic_bytes: Mapping[str, int]
    inserted_s: float
    unmatched_s: float
    costs: CallCosts
    cold: CallCosts | None
    stated_launch_s: float | None

    @property
    def launch_s(self) -> float:
        """The launch cost of the device: what a call takes beside the model's operators and what has no match."""
        own = self.costs.launch_s if self.stated_launch_s is None else self.stated_launch_s
        return own + self.inserted_s

    @property
    def ops_s(self) -> float:
        """The time of all matched operators together."""
        return sum(self.seconds.values())

    def __str__(self) -> str:
        return (
            f"{self.model} by {self.origin} (hypothetical): {len(self.seconds)} operators in "
            f"{self.ops_s * 1e3:.3f} ms, launch {self.launch_s * 1e3:.3f} ms"
        )


def import_profile(
    profile: VendorProfile,
    graph: Graph,
    *,
    which: Which = "warm",
    by: By = "names",
    launch_s: float | None = None,
) -> ImportedProfile:
    """The costs of a model by a vendor's profile of it.

    Args:
        profile: The profile.
        graph: The model's graph.
        which: ``"cold"`` takes the first call, ``"warm"`` medians of all later ones. A profile's only call is both.
        by: ``"order"`` matches by order what has no match by name.
        launch_s: A launch cost instead of the profile's.

    Raises:
        ProfileError: If no operator of the profile is one of the model's.
    """
    cold, later = profile.calls[:1], profile.calls[1:]
    used = cold if which == "cold" or not later else later
    profiled = _medians(used)
    matching = match(profiled, graph, by=by, not_run=profile.not_run)
    if not matching.ops_of:
        theirs = ", ".join(op.name for op in profiled[:3])
        ours = ", ".join(op.name for op in graph.ops[:3])
        raise ProfileError(
            f"none of the {len(profiled)} operators of {profile.files[0]} is one of {graph.name!r}: it has {theirs}, "
            f"..., the model {ours}, ...; give the model that was profiled, or try --match order"
        )
    time = {op.name: op.seconds for op in profiled}
    seconds: dict[str, float] = {}
    traffic: dict[str, int] = {}
    bytes_of = _traffic(profile, profiled)
    for name, ops in matching.ops_of.items():
        seconds[ops[0]] = seconds.get(ops[0], 0.0) + time[name]
        if name in bytes_of:
            traffic[ops[0]] = traffic.get(ops[0], 0) + bytes_of[name]
    return ImportedProfile(
        model=graph.name,
        origin=_origin(profile, which, len(used)),
        which=which,
        num_calls=len(profile.calls),
        num_used=len(used),
        matching=matching,
        seconds=seconds,
        traffic_bytes=traffic,
        inserted_s=sum(time[name] for name in matching.inserted),
        unmatched_s=sum(time[name] for name in matching.unmatched),
        costs=_costs(used),
        cold=_costs(cold) if later and cold[0].total_s is not None else None,
        stated_launch_s=launch_s,
    )


def _medians(calls: Sequence[Call]) -> list[OpTime]:
    """Every operator of the calls, with the median over the calls that have it of its times there together."""
    first: dict[str, OpTime] = {}
    samples: dict[str, list[float]] = {}
    for call in calls:
        together: dict[str, float] = {}
        for op in call.ops:
            first.setdefault(op.name, op)
            together[op.name] = together.get(op.name, 0.0) + op.seconds
        for name, seconds in together.items():
            samples.setdefault(name, []).append(seconds)
    return [
        OpTime(name=name, candidates=op.candidates, kind=op.kind, seconds=median(samples[name]))
        for name, op in first.items()
    ]


def _costs(calls: Sequence[Call]) -> CallCosts:
    totals = [call.total_s for call in calls if call.total_s is not None]
    launches = [call.launch_s for call in calls if call.launch_s is not None]
    return CallCosts(
        total_s=median(totals) if totals else None,
        launch_s=median(launches) if launches else 0.0,
        launch_parts_s={
            name: median(call.launch_parts_s.get(name, 0.0) for call in calls) for name in calls[0].launch_parts_s
        },
        also_s={name: median(call.also_s.get(name, 0.0) for call in calls) for name in calls[0].also_s},
    )


def _traffic(profile: VendorProfile, profiled: Sequence[OpTime]) -> dict[str, int]:
    """By an operator of the profile, its traffic, which another file may give for one of its candidate names."""
    found = {}
    for op in profiled:
        known = [name for name in (op.name, *op.candidates) if name in profile.traffic_bytes]
        if known:
            found[op.name] = profile.traffic_bytes[known[0]]
    return found


def _origin(profile: VendorProfile, which: Which, num_used: int) -> str:
    files = " and ".join(file.rpartition("/")[2] for file in profile.files)
    if profile.is_average:
        return f"{profile.engine}, {files}"
    if len(profile.calls) == 1:
        return f"{profile.engine}, {files}, its only call"
    calls = "the first call, cold" if which == "cold" else f"median of {num_used} warm calls"
    return f"{profile.engine}, {files}, {calls}"
