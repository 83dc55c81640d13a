"""Graphs, platforms, problems, plans and timelines as plain values, with the errors that a user can mend."""
