"""The simulated world: customers, their journeys, true treatment effects, and what the best policy would earn."""
