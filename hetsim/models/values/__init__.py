"""Which values tensors can have: ranges that follow from the inputs, what is assumed of inputs, and random inputs."""
