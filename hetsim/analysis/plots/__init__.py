"""Pictures of timelines, plans, comparisons and experiments."""
