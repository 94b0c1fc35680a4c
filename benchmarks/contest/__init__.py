"""Policies compared on whole simulated worlds: shared histories, models and results."""
