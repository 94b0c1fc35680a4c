"""Policies that are compared, from silence to the oracle, and the one that makes history."""
