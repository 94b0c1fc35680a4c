"""Readouts of experiments, from the log or from any table."""
