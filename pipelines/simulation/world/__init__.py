"""The world: customers who live week by week, with or without messages."""
