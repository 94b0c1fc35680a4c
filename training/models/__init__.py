"""Learning what messages are worth, and judging what was learned."""
