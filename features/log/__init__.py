"""The event log: its tables, its rows, the chain over them, and what it says of customers."""
