"""Whether devices compute operators as the reference does, for values that can occur: one probe for each signature."""
