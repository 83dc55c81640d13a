"""What people see of packages and values: names that load lazily, and tables and drawings in notebooks."""
