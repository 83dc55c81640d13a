"""The model that a plan's segments name: rewritten where the plan splits operators."""

from __future__ import annotations

from hetsim.core.plan import Plan
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite


def planned_model(model: Model, plan: Plan) -> Model:
    """The model that the plan's segments speak of: rewritten, if the plan rests on rewrites.

    Args:
        model: The plan's model, or any that was rewritten from it.
        plan: The plan.

    Raises:
        PlanError: If a rewrite is impossible.
    """
    return rewrite(model, plan.rewrites).model
