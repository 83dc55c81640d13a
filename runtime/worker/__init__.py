"""The process behind a device: compiles segments, shares memory with the other devices, and serves requests."""
