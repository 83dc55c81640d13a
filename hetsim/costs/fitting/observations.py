"""From the samples of a profile to what each segment took in each context."""

from __future__ import annotations

from hetsim.costs.fitting.additive_medians import interference_free_medians
from hetsim.costs.fitting.device_model import Observation
from hetsim.costs.fitting.shared_tensors import shared_tensor
from hetsim.costs.parts import work_of
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite

SEARCHED = ("configuration:explored ", "replay:", "final:")
"""How contexts begin in which plans were run that a search found."""


def observe(model: Model, profile: Profile) -> dict[str, list[Observation]]:
    """By device, what each segment of the model and of its rewritten models took in each context.

    Segments of models that were rewritten otherwise are left out, unless the profile says how.

    Args:
        model: An imported model.
        profile: Its profile.
    """
    times = interference_free_medians(profile)
    found: dict[str, list[Observation]] = {device: [] for device in profile.header.engines}
    for device, ops in profile.segments():
        for name, context in profile.contexts(device, ops).items():
            measured = rewrite(model, profile.splits(name)).model
            if all(op in measured.graph.position for op in ops):
                made = set(measured.graph.outputs_of(ops))
                found[device].append(
                    Observation(
                        ops=ops,
                        work=work_of(measured, ops),
                        context=name,
                        is_searched=name.startswith(SEARCHED),
                        shared=tuple(shared_tensor(measured, each, is_made=each in made) for each in context.shared),
                        seconds=times[device, ops][name],
                    )
                )
    return found
