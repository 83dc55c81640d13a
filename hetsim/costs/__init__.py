"""From measurements to costs: profiles, their normalisation, predictions, and the planning problems that follow."""
