"""A fixed sample of ONNX's conformance suite; ``make conformance`` runs all of it."""

from __future__ import annotations

import pytest

from hetsim.io.platform_file import load_platform
from tests.conformance.edges import check_edges
from tests.conformance.page import page_of
from tests.conformance.suite import Suite, kind_of

_EVERY = 61  # a case in so many, by name: all letters of the alphabet, all groups but the large networks
_EVERY_EDGE = 97


@pytest.mark.engines
def test_a_sample_of_the_suite_passes_or_is_refused_for_a_reason() -> None:
    suite = Suite()
    cases = [case for case in suite.cases if case[0] != "RealModel"][::_EVERY]
    outcomes = list(suite.run(cases, load_platform()))
    assert [(o.case, o.reason) for o in outcomes if o.status == "failed"] == []
    assert [o.reason for o in outcomes if o.status == "refused" and kind_of(o.reason) == "other"] == []
    assert [(o.case, o.reason) for o in outcomes if o.alone and o.in_scope and o.status != "passed"] == []
    assert any(o.num_devices == 2 for o in outcomes)


@pytest.mark.engines
def test_a_sample_of_the_operators_is_right_for_edge_valued_inputs() -> None:
    suite = Suite()
    cases = list(suite.single_operators(suite.cases[::_EVERY_EDGE]))
    outcomes = list(check_edges(cases, load_platform()))
    assert [(o.case, o.device, o.reason) for o in outcomes if o.status == "wrong"] == []
    assert {o.device for o in outcomes if o.status == "right" and o.num_right} == {"cpu", "npu"}
    assert any(o.status == "off" for o in outcomes)
    assert f"| npu | {sum(o.device == 'npu' and o.status == 'right' for o in outcomes)} |" in page_of(
        [], outcomes, "cpu+npu", 0
    )
