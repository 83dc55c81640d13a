"""From samples to observations: contexts, shared tensors, rewritten models."""

from __future__ import annotations

import pytest

from hetsim.core.errors import ProfileError
from hetsim.core.plan import Split
from hetsim.core.problem import PartWork
from hetsim.costs.fitting.additive_medians import interference_free_medians
from hetsim.costs.fitting.observations import observe, sharing_factors
from hetsim.costs.fitting.shared_tensors import SharedTensor
from hetsim.costs.profile import Profile, Samples, SerialRuns
from tests.support.profiles import HEADER
from tests.support.split_networks import stack

MODEL = stack(3, 3)
SPLIT = Split(("conv0", "conv1"), "rows", (4,))
UPPER = ("slice t0[rows 0:6]", "conv0[rows 0:5]", "conv1[rows 0:4]")


def samples(ops: tuple[str, ...], context: str, *shared: str, seconds: float = 1.0) -> Samples:
    return Samples(device="cpu", ops=ops, context=context, samples_s=(seconds,) * 3, shared=shared)


def test_each_context_is_an_observation_with_the_tensors_that_were_shared_there() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples(("conv1",), "configuration:operators"))
    profile.add(samples(("conv1",), "configuration:spread 1, cpu", "t1", "t2", seconds=2.0))
    profile.add(samples(("pool",), "replay:x"))
    profile.add(samples(("conv0",), "final:x"))
    profile.add(samples(("conv0",), "explored:1:5ca1ab1e"))
    found = observe(MODEL, profile, interference_free_medians(profile), sharing_factors(profile))
    assert found["npu"] == []
    assert [(one.ops, one.context, one.is_searched, one.seconds) for one in found["cpu"]] == [
        (("conv1",), "configuration:operators", False, 1.0),
        (("conv1",), "configuration:spread 1, cpu", False, 2.0),
        (("pool",), "replay:x", True, 1.0),
        (("conv0",), "final:x", True, 1.0),
        (("conv0",), "explored:1:5ca1ab1e", True, 1.0),
    ]
    assert found["cpu"][0].work == PartWork(shares={"conv1": 1.0}, copied_bytes=0)
    num_bytes = MODEL.graph.tensors["t1"].num_bytes
    assert found["cpu"][0].shared == ()
    assert found["cpu"][1].shared == (
        SharedTensor(False, num_bytes, "t1"),
        SharedTensor(True, num_bytes, "t2"),
    )


@pytest.mark.equation("parts")
def test_segments_of_rewritten_models_are_observed_where_the_profile_says_how_they_were_rewritten() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples(UPPER, "replay:untold"))
    assert observe(MODEL, profile, interference_free_medians(profile), sharing_factors(profile))["cpu"] == []
    splits = ((SPLIT.ops, SPLIT.axis, SPLIT.at),)
    profile.add(SerialRuns(device="cpu", context="replay:told", speed_probe_s=(1.0,) * 3, splits=splits))
    profile.add(samples(UPPER, "replay:told", "t2[rows 0:4]", seconds=2.0))
    assert profile.splits("replay:told") == (SPLIT,)
    (one,) = observe(MODEL, profile, interference_free_medians(profile), sharing_factors(profile))["cpu"]
    assert (one.ops, one.context, one.seconds) == (UPPER, "replay:told", 2.0)
    assert one.work == PartWork(shares={"conv0": 5 / 8, "conv1": 4 / 8}, copied_bytes=4 * 6 * 5 * 4)
    assert [shared.name for shared in one.shared] == ["t2"]


def test_a_tensor_that_the_model_lacks_is_named() -> None:
    profile = Profile(header=HEADER)
    profile.add(samples(("conv1",), "configuration:operators", "elsewhere"))
    with pytest.raises(ProfileError, match=r"says that 'conv1' on 'cpu' shares tensor 'elsewhere', which 'stack' does"):
        observe(MODEL, profile, interference_free_medians(profile), sharing_factors(profile))


def test_a_device_that_the_header_lacks_is_observed_too() -> None:
    profile = Profile(header=HEADER)
    profile.add(Samples(device="tpu", ops=("conv1",), context="replay:x", samples_s=(1.0,)))
    assert [
        one.ops for one in observe(MODEL, profile, interference_free_medians(profile), sharing_factors(profile))["tpu"]
    ] == [("conv1",)]
