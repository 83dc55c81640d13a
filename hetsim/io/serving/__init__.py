"""Deployments as files."""
