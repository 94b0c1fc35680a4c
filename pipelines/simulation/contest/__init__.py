"""Policies held against each other on the same worlds, and judged."""
