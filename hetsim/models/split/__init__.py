"""Runs of operators computed in parts, so that several devices work on one operator at once."""

from hetsim.core.split import AXES, Axis, Split
from hetsim.models.split.check import first_difference
from hetsim.models.split.rewrite import Rewrite, check_split, rewrite
from hetsim.models.split.rules import can_split, split_axis

__all__ = ["AXES", "Axis", "Rewrite", "Split", "can_split", "check_split", "first_difference", "rewrite", "split_axis"]
