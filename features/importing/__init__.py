"""Canonical tables into the log: every row inserted, a duplicate, or refused with its reason."""
