"""One script per question; each writes a CSV, a sidecar that says where it comes from, and a figure from the CSV."""
