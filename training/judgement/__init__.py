"""Evaluation of a model before promotion: held-back customers, gain curves, comparisons."""
