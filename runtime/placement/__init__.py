"""Placements: a plan as a model that an engine itself divides among its devices."""
