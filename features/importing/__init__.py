"""Import of canonical tables into the log: every row is inserted, a duplicate, or rejected with its reason."""
