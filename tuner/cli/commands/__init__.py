"""One file for each command: its options, and what it does; whatever takes long to import is imported in its body."""
