"""The range of values that each integer tensor can have, as follows from inputs, constants and operators."""
