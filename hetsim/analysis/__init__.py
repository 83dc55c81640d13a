"""What plans, timelines and costs say: breakdowns, comparisons, critical paths, sensitivity and scenarios."""
