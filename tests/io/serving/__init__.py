"""Files of deployments and scenarios."""
