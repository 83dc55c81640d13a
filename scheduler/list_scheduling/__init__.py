"""Published schedulers of task graphs: list scheduling, stages of groups, a genetic algorithm."""
