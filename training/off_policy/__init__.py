"""Off-policy evaluation: what another policy would have been worth on a log."""
