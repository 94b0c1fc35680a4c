"""What lies ahead of a decision: what room under caps is worth later, and what it is worth where a customer stands."""
