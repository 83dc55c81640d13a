"""How fast an NPU must be before it pays, how many are worth it, and when the memory limits."""
