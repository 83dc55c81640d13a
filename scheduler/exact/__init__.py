"""Optimal plans of a stated space, with proof, and an independent solver to compare with."""
