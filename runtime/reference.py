"""A reference that is walked between covers, and which covers were walked while something disturbed the machine.

A cover is walked once, within a second or so. If another program takes caches or clock away meanwhile, all its segments
come out slow together, and nothing in the profile contradicts them. So between covers the device walks one plan that
stays the same, the whole model in as few segments as it can. It takes its usual time where the machine is as usual, so
a cover between two such walks of which one is not as usual is suspect.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from hetsim.profile import Walk
from runtime.backends.protocol import Array
from runtime.session import Session

STEADY = 0.04
"""A reference this near to its usual time is as usual, however steady the others are."""
BEYOND = 4.0
"""Further than so many standard deviations of the device's references, one is not as usual."""
_MAD_TO_SD = 1.4826  # of a normal distribution


def reference_s(session: Session, inputs: Mapping[str, Array], num_walks: int) -> float:
    """What the reference takes now: its median latency over a few walks, in seconds.

    Args:
        session: The reference, loaded.
        inputs: The model's inputs.
        num_walks: How many count, at least 1; one before them does not.
    """
    session.run(inputs, serial=True)
    return median(session.run(inputs, serial=True).latency_s for _ in range(num_walks))


def num_reference_walks(repeats: int) -> int:
    """How many walks of the reference count beside so many samples of a cover: a quarter as many."""
    return max(1, repeats // 4)


def disturbed(walks: Mapping[str, Walk]) -> tuple[str, ...]:
    """The contexts of walks whose references were not as usual, the most unusual first.

    The usual is the median of all references, and their noise 1.4826 times the median of their distances from it, the
    standard deviation of normal ones, which no minority of disturbed ones moves (Hampel, "The influence curve and its
    role in robust estimation", Journal of the American Statistical Association 69, 1974).

    Args:
        walks: Those on one device, by context.
    """
    usual = usual_s(walks)
    noise = _MAD_TO_SD * median([abs(seconds / usual - 1) for seconds in _references_s(walks)] or [0.0])
    off = {context: unusual(walk, usual) for context, walk in walks.items()}
    suspect = [context for context, distance in off.items() if distance > max(STEADY, BEYOND * noise)]
    return tuple(sorted(suspect, key=lambda context: -off[context]))


def usual_s(walks: Mapping[str, Walk]) -> float:
    """The median of all references beside walks on one device, in seconds; 0 where there is none."""
    return median(_references_s(walks) or [0.0])


def unusual(walk: Walk, usual_s: float) -> float:
    """How far the references next to a walk were from the usual at most, as a fraction of it; 0 if it has none."""
    return max((abs(seconds / usual_s - 1) for seconds in walk.reference_s), default=0.0)


def _references_s(walks: Mapping[str, Walk]) -> list[float]:
    return [seconds for walk in walks.values() for seconds in walk.reference_s]
