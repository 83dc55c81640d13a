"""Plans in which several devices compute parts of one operator, found from costs alone."""
