"""A world with a known truth: customers, their journey, what messages do to it, and what the best policy would get."""
