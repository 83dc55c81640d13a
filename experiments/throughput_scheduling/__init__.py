"""Throughput of mixtures on random task graphs, beside SAGA's throughput schedulers and a bound."""
