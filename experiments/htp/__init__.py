"""A real NPU's trace: a device by it, a platform after it, and what plans gain there."""
