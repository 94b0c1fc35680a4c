"""The assignment of customers to experiments, and what another catalogue would change in it."""
