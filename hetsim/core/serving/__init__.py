"""What is served: arrivals of requests, deployments of models, and workloads that share the devices."""
