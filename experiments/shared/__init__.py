"""What experiments share: rows and sidecars, profiles, networks, published figures."""
