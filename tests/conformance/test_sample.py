"""A fixed sample of ONNX's conformance suite; ``make conformance`` runs all of it."""

from __future__ import annotations

import pytest

from hetsim.io.platform_file import load_platform
from tests.conformance.suite import Suite, kind_of

_EVERY = 41  # a case in so many, by name: all letters of the alphabet, all groups but the large networks


@pytest.mark.engines
def test_a_sample_of_the_suite_passes_or_is_refused_for_a_reason() -> None:
    suite = Suite()
    cases = [case for case in suite.cases if case[0] != "RealModel"][::_EVERY]
    outcomes = list(suite.run(cases, load_platform()))
    assert [(o.case, o.reason) for o in outcomes if o.status == "failed"] == []
    assert all(kind_of(o.reason) != "other" for o in outcomes if o.status == "refused")
    passed = sum(o.status == "passed" for o in outcomes if o.alone and o.in_scope)
    assert passed >= 0.9 * sum(o.alone and o.in_scope for o in outcomes)
    assert any(o.num_devices == 2 for o in outcomes)
