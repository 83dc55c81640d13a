"""Segments cut out of a model: as files for engines, and side by side as a model of their own."""
