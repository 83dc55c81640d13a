"""What the command line prints and reads of deployments and scenarios."""
