"""Fairness: whether any group of customers is treated worse, and what a remedy costs."""
