"""Many requests: a load for one plan, and services of several plans and models."""
