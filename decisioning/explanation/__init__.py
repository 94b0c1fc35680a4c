"""Explanations of decisions from their records, for customers, agents and auditors; why not; what would change it."""
