"""Verification: what devices make of a model's operators and of a plan's segments, beside the reference engine."""
