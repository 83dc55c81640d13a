"""The steps of tuning: readiness, expected outputs, proposers, measurement and judgement."""
