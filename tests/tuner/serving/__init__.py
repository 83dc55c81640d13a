"""Tuning deployments and scenarios."""
