"""The steps of an import: checks, bindings, shapes, and the graph that comes out."""
