"""What a verification found: how far each device's operators and a plan's segments are from the reference engine."""
