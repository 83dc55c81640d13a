"""Values of inputs: what is assumed of them, random ones, samples of any type, and what rounding makes of them."""
