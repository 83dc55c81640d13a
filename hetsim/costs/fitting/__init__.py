"""Steps from samples to costs: interference, additive medians, cross-device access costs and the predictor."""
