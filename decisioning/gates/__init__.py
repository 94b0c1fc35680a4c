"""The hard rules, and all that they look at: what is permitted, and why the rest is not."""
