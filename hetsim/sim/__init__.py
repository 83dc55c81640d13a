"""What a plan takes by the model: the SimPy reference, its compiled equal, and an independent checker."""
