"""The tamper-evident chain over the log: sealed, linked, verified."""
