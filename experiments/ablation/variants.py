"""Variants of the cost model that each lack one ingredient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from hetsim.costs import cost_model
from hetsim.costs.fitting import device_model
from hetsim.costs.fitting.additive_medians import AdditiveMedians, additive_medians, interference_free_medians
from hetsim.costs.fitting.interference import Interference, fit_interference
from hetsim.costs.fitting.regression import Floats, Regression, Row, Term
from hetsim.costs.profile import Profile

FULL = "as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What a variant does otherwise.

    Attributes:
        drops: Says of a coefficient's key whether the regression goes without it.
        times: From a profile to what segments took.
        profile: Leaves out some of what was measured.
    """

    drops: Callable[[Hashable], bool] = lambda _: False
    times: Callable[[Profile], AdditiveMedians] = interference_free_medians
    profile: Callable[[Profile], Profile] = lambda profile: profile


def _starts(*beginnings: Sequence[Hashable]) -> Callable[[Hashable], bool]:
    return lambda key: isinstance(key, tuple) and any(key[: len(each)] == tuple(each) for each in beginnings)


def _without_contexts(beginning: str) -> Callable[[Profile], Profile]:
    return lambda profile: profile.only(lambda context: not context.startswith(beginning))


def _of_unit_exponent(profile: Profile) -> AdditiveMedians:
    found = fit_interference(profile)
    return additive_medians(profile, Interference(usual_s=found.usual_s, exponent=dict.fromkeys(found.exponent, 1.0)))


def _plain_medians(profile: Profile) -> AdditiveMedians:
    return additive_medians(profile, fit_interference(profile), additive=False)


VARIANTS: Mapping[str, Variant] = {
    FULL: Variant(),
    "no speed probe": Variant(times=additive_medians),
    "exponent 1": Variant(times=_of_unit_exponent),
    "plain medians": Variant(times=_plain_medians),
    "no cost of sharing": Variant(drops=_starts(["read"], ["made"])),
    "sharing not by tensor": Variant(drops=_starts(["read", "tensor"], ["made", "tensor"])),
    "no neighbours": Variant(drops=_starts(["alike"], ["border"])),
    "no border bytes": Variant(drops=_starts(["border"])),
    "no own effect of segments": Variant(drops=_starts(["segment"])),
    "no effect of contexts": Variant(drops=_starts(["context"])),
    "no effect of being picked": Variant(drops=_starts(["searched"])),
    "no copies": Variant(drops=_starts(["copied bytes"])),
    "no spreads": Variant(profile=_without_contexts("configuration:spread")),
    "no explored plans": Variant(profile=_without_contexts("explored:")),
}
"""By name, every variant."""


@contextmanager
def ablated(name: str) -> Iterator[None]:
    """Cost models that are made inside are the variant of that name."""
    variant = VARIANTS[name]

    class Without(Regression):
        """A regression without some coefficients."""

        def __init__(self, rows: Sequence[Row], measured: Floats, noise: Floats) -> None:
            wanted = [{key: term for key, term in row.items() if not variant.drops(key)} for row in rows]
            super().__init__(wanted, measured, noise)

        def value(self, terms: Iterable[Term]) -> float:
            return super().value(term for term in terms if not variant.drops(term.key))

        def variance(self, row: Row) -> float:
            return super().variance({key: term for key, term in row.items() if not variant.drops(key)})

    with (
        patch.object(device_model, "Regression", Without),
        patch.object(cost_model, "interference_free_medians", variant.times),
    ):
        yield
