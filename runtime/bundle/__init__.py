"""Bundles: a plan as files that run without hetsim."""
