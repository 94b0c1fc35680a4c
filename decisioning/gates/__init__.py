"""The hard rules and their inputs: which messages are permitted, and why the others are not."""
