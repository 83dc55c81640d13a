"""Files: platforms, plans, problems and workflows in; the same, traces and growing lists of lines out."""
