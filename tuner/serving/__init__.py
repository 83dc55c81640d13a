"""Tuning for more than one inference: candidates, their simulation and their execution."""
