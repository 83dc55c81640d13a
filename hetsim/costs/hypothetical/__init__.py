"""Devices that nobody measured here: what segments take on them by a data sheet, an architecture, or a file."""

from hetsim.costs.hypothetical.device_costs import HypotheticalCosts, hypothetical_costs

__all__ = ["HypotheticalCosts", "hypothetical_costs"]
