"""Graph rewrites: runs of operators computed in parts, so that several devices work on one operator at once."""
