"""Costs of hypothetical devices, which nobody measured here: by a data sheet, an architecture, or a file of times."""
