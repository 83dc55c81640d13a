"""Parts of a model, each computed by a device from the reference's values for its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hetsim.core.plan import Plan, Segment
from hetsim.models.model import Model
from hetsim.models.segments.parts import own_name, side_by_side
from hetsim.runtime.verifying.devices import Attempt, RestartableDevices, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What a device made of a part.

    Attributes:
        found: By input of the model, the part's outputs by tensor; empty if it was refused or failed.
        reason: Why it was refused or failed.
        is_refusal: Whether it was refused.
    """

    found: tuple[Values, ...] = ()
    reason: str = ""
    is_refusal: bool = False


def run_isolated(
    devices: RestartableDevices,
    device: str,
    model: Model,
    parts: Sequence[tuple[str, ...]],
    samples: Sequence[Values],
) -> list[Isolated]:
    """What a device makes of each part, in the order of ``parts``.

    All parts are one model of disconnected segments. If the engine refuses one, those before it and those behind it are
    run by themselves, so that a segment is compiled twice at most for each refusal next to it.

    Args:
        devices: The devices.
        device: Name of one of them.
        model: The model, not a rewritten one.
        parts: By part, a convex set of operators in topological order.
        samples: By input of the model, the values of all tensors that the parts read.
    """
    results: dict[int, Isolated] = {}
    groups = [list(range(len(parts)))] if parts else []
    while groups:
        group = groups.pop()
        attempt, blamed = _attempt(devices, device, model, [parts[i] for i in group], samples)
        if attempt.outputs:
            for place, i in enumerate(group):
                outputs = model.graph.outputs_of(parts[i])
                found = tuple({name: one[own_name(place, name)] for name in outputs} for one in attempt.outputs)
                results[i] = Isolated(found=found)
        elif len(group) == 1:
            results[group[0]] = _early(attempt, 0, parts[group[0]])
        elif blamed is None:
            middle = len(group) // 2
            groups += [group[:middle], group[middle:]]
        else:
            results[group[blamed]] = _early(attempt, blamed, parts[group[blamed]])
            groups += [rest for rest in (group[:blamed], group[blamed + 1 :]) if rest]
    return [results[i] for i in range(len(parts))]


def _attempt(
    devices: RestartableDevices, device: str, model: Model, parts: Sequence[tuple[str, ...]], samples: Sequence[Values]
) -> tuple[Attempt, int | None]:
    """Run the parts, and the place of the one to blame if that fails and it is known."""
    made = side_by_side(model, parts)
    plan = Plan(model=made.model.name, queues={device: tuple(Segment(device, ops) for ops in made.ops)})
    attempt = devices.attempt(made.model, plan, [made.feed(values) for values in samples])
    places: Mapping[tuple[str, ...], int] = {ops: place for place, ops in enumerate(made.ops)}
    return attempt, places.get(attempt.blamed)


def _early(attempt: Attempt, place: int, ops: tuple[str, ...]) -> Isolated:
    """A part that was refused or failed; the reason names the whole model's operators."""
    reason = attempt.reason
    for op in ops:
        reason = reason.replace(repr(own_name(place, op)), repr(op))
    return Isolated(reason=reason, is_refusal=attempt.is_refusal)
