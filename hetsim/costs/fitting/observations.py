"""From the samples of a profile to what each segment took in each context."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from hetsim.core.errors import ProfileError
from hetsim.costs.fitting.additive_medians import AdditiveMedians
from hetsim.costs.fitting.device_model import Observation
from hetsim.costs.fitting.shared_tensors import shared_tensor
from hetsim.costs.parts import work_of
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite

SEARCHED = ("explored:", "replay:", "final:")
"""How contexts begin in which plans were run that a search found."""

SharingFactors = Mapping[tuple[str, str], float]
"""By device and context, how many times as long as usual it took there for what it shares."""


def sharing_factors(profile: Profile) -> SharingFactors:
    """How long devices took for what they share, by their transfer probes; contexts without any are left out.

    A virtual machine's host moves its processors: hand-overs then take five times as long, for seconds or minutes.
    """
    factors: dict[tuple[str, str], float] = {}
    for device in profile.header.engines:
        probes_s = {context: median(found) for context, found in profile.transfer_probes_s(device).items()}
        if probes_s:
            usual_s = median(probes_s.values())
            factors |= {(device, context): found / usual_s for context, found in probes_s.items()}
    return factors


def observe(
    model: Model, profile: Profile, times: AdditiveMedians, factors: SharingFactors
) -> dict[str, list[Observation]]:
    """By device, what each segment of the model and of its rewritten models took in each context.

    Segments of models that were rewritten otherwise are left out, unless the profile says how.

    Args:
        model: An imported model.
        profile: Its profile.
        times: What its segments took.
        factors: How long devices took for what they share.

    Raises:
        ProfileError: If a segment shares a tensor that its model does not have.
    """
    found: dict[str, list[Observation]] = {device: [] for device in profile.header.engines}
    for device, ops in profile.segments():
        for name, context in profile.contexts(device, ops).items():
            measured = rewrite(model, profile.splits(name)).model
            graph = measured.graph
            if not all(op in graph.position for op in ops):
                continue
            for tensor in context.shared:
                if tensor not in graph.producer:
                    raise ProfileError(
                        f"the profile says that {graph.label(ops)!r} on {device!r} shares tensor {tensor!r}, which "
                        f"{graph.name!r} does not have; measure anew with: hetsim profile {model.name} --out FILE"
                    )
            made = set(graph.outputs_of(ops))
            found.setdefault(device, []).append(
                Observation(
                    ops=ops,
                    work=work_of(measured, ops),
                    context=name,
                    is_searched=name.startswith(SEARCHED),
                    shared=tuple(shared_tensor(measured, each, is_made=each in made) for each in context.shared),
                    sharing_factor=factors.get((device, name), 1.0),
                    seconds=times[device, ops][name],
                )
            )
    return found
