"""What a tune run reports: the outcome as values, in the terminal, as summary.json and as report.html."""
