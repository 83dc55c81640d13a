"""Which parts of the cost model earn their place: errors of predictions with and without each."""
