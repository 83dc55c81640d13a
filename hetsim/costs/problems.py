"""Planning problems from a model, a platform and a profile: the last step from samples to costs."""

from __future__ import annotations

import math

from hetsim.core.plan import Plan
from hetsim.core.platform import Platform
from hetsim.core.problem import Problem
from hetsim.costs.cost_model import CostModel
from hetsim.costs.hypothetical.device_costs import HypotheticalCosts, check_all_known, hypothetical_costs
from hetsim.costs.profile import Profile
from hetsim.models.model import Model
from hetsim.models.split.planned import planned_model
from hetsim.models.split.splitting import ModelSplitting


def make_problem(model: Model, platform: Platform, profile: Profile | None = None) -> Problem:
    """The planning problem for any plan: measured costs where there are measurements, and predictions elsewhere.

    The costs of hypothetical devices come from their data sheet, architecture or file; a platform of such devices alone
    needs no profile.

    Raises:
        ProblemError: If an operator runs on no device.
        ProfileError: If a device needs measurements and there are none, or a file of times does not fit the model.
        PlatformError: If the costs of an architecture cannot be computed.
    """
    if profile is not None:
        return fitted(model, platform, profile).problem(model)
    check_all_known(platform, model)
    return _stated_problem(model, platform, hypothetical_costs(model.base or model, platform))


def _stated_problem(model: Model, platform: Platform, base: HypotheticalCosts) -> Problem:
    """The problem of a model, original or rewritten, on hypothetical devices alone.

    Args:
        model: The model.
        platform: The devices.
        base: Their costs of the original model.
    """
    stated = base.of_parts(model)
    return Problem(
        graph=model.graph,
        platform=platform,
        latency_function=stated.latency_beside(None),
        traffic_function=stated.traffic_beside(None) if math.isfinite(platform.memory.shared_bytes_per_s) else None,
        model_hash=model.hash,
        splitting=ModelSplitting(model, lambda other: _stated_problem(other, platform, base)),
        rewrites=model.splits,
    )


def plan_problem(model: Model, platform: Platform, profile: Profile | None, plan: Plan) -> Problem:
    """The problem for one plan: costs from the plan's own serial runs if there are any.

    If the plan has rewrites, the problem's graph is the rewritten one. If the plan uses a hypothetical device, this is
    the problem of :func:`make_problem`.

    Raises:
        PlanError: If the plan does not fit the model.
    """
    if profile is None:
        return make_problem(planned_model(model, plan), platform)
    return fitted(model, platform, profile).problem_for(plan)


def fitted(model: Model, platform: Platform, profile: Profile) -> CostModel:
    """The costs as this revision of the profile gives them; they are fitted once."""
    key = (profile.revision, id(model.base or model), platform)
    if profile.fitted is None or profile.fitted[0] != key:
        profile.fitted = key, CostModel(model, platform, profile)
    found = profile.fitted[1]
    assert isinstance(found, CostModel)
    return found
