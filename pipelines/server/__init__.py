"""The running server, its Redis, and what runs beside it."""
