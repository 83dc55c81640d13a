"""The model that a plan is about, rewritten if the plan splits operators."""

from __future__ import annotations

from hetsim.core.plan import Plan
from hetsim.models.model import Model
from hetsim.models.split.rewrite import rewrite


def planned_model(model: Model, plan: Plan) -> Model:
    """The model whose operators the plan's segments name: rewritten if the plan has rewrites.

    Args:
        model: The plan's model, or a model that was rewritten from it.
        plan: The plan.

    Raises:
        PlanError: If a rewrite is impossible.
    """
    return rewrite(model, plan.rewrites).model
