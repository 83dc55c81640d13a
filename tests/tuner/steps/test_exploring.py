"""Exploring on make-believe devices: what is measured, that it resumes, and that refusals are noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hetsim.core.platform import Platform
from hetsim.costs.cost_model import CostModel
from hetsim.costs.profile import Profile
from hetsim.costs.profile_file import load_profile
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite
from hetsim.runtime.measure.configurations import has_all_configurations
from hetsim.tuner.steps.profiling import profile_model
from tests.support.models import fake_platform, fork_join
from tests.support.tuning import QUICK, QUICK_EFFORT, tuning_context

MODEL = fork_join()
OPTIONS = replace(QUICK, effort=replace(QUICK_EFFORT, explorations=6))


def explored(profile: Profile) -> tuple[str, ...]:
    names = profile.contexts_named("explored:")
    assert [name.split(":")[1] for name in names] == [str(number + 1) for number in range(OPTIONS.effort.explorations)]
    return names


def profiled(folder: Path, platform: Platform | None = None, model: Model = MODEL) -> Profile:
    with tuning_context(model, platform or fake_platform(), folder, options=OPTIONS) as context:
        profile_model(context)
    return load_profile(folder / "profile.jsonl")


def segments_in(profile: Profile, context: str) -> list[tuple[str, tuple[str, ...]]]:
    return [key for key in profile.segments() if context in profile.contexts(*key)]


def test_explored_plans_are_measured_with_the_tensors_that_they_share(tmp_path: Path) -> None:
    profile = profiled(tmp_path)
    assert has_all_configurations(profile, MODEL.graph, ("cpu", "npu"))
    for name in explored(profile):
        graph = rewrite(MODEL, profile.splits(name)).model.graph
        found = segments_in(profile, name)
        assert sorted(op for _, ops in found for op in ops) == sorted(op.name for op in graph.ops)
        place = {op: device for device, ops in found for op in ops}
        for device, ops in found:
            expected = {
                tensor
                for tensor in (*graph.inputs_of(ops), *graph.outputs_of(ops))
                if tensor in graph.producer
                and len({place[op] for op in (graph.producer[tensor], *graph.consumers[tensor])}) > 1
            }
            assert set(profile.contexts(device, ops)[name].shared) == expected
    # What was explored is known to the costs.
    costs = CostModel(MODEL, fake_platform(), profile)
    assert all(
        costs.problem(rewrite(MODEL, profile.splits(name)).model).latency(*key).measured  # type: ignore[union-attr]
        for name in explored(profile)
        for key in segments_in(profile, name)
    )


def test_exploring_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = profiled(tmp_path)
    path = tmp_path / "profile.jsonl"
    content = path.read_bytes()
    profiled(tmp_path)
    assert path.read_bytes() == content  # nothing is measured twice
    lines = content.splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if explored(whole)[2].encode() in line)
    path.write_bytes(b"".join(lines[:cut]))
    again = profiled(tmp_path)
    assert path.read_bytes().startswith(b"".join(lines[:cut]))
    assert explored(again)[:2] == explored(whole)[:2]
    assert segments_in(again, explored(again)[0]) == segments_in(whole, explored(whole)[0])


def test_what_an_engine_refuses_is_noted_and_another_plan_explored(tmp_path: Path) -> None:
    platform = fake_platform()
    picky = replace(platform.device("npu"), options={"refuse": "Sigmoid"})
    profile = profiled(tmp_path, platform.with_devices(picky))
    assert ("right2",) in profile.unsupported("npu")
    for name in explored(profile):
        for device, ops in segments_in(profile, name):
            assert device == "cpu" or not any("right2" in op for op in ops)


def test_one_device_leaves_nothing_to_explore(tmp_path: Path) -> None:
    profile = profiled(tmp_path, fake_platform("cpu"))
    assert profile.contexts_named("explored:") == ()
    assert profile.num_segments > 0
