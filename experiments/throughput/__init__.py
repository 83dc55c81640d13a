"""Question: how many requests per second does the best deployment serve, and at which latency?"""
