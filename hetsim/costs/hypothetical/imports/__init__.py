"""Vendors' profiles as hypothetical devices: their operators matched to a model's, their calls split into costs."""
