"""Seeded local search, annealing and branch and bound for problems too large to solve exactly."""
