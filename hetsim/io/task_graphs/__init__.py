"""Task graphs in other people's formats as problems: WfCommons, the Standard Task Graph Set, Graphviz DOT."""
