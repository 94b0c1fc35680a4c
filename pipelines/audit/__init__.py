"""Whether what was decided is what was logged: replayed, drawn again, verified, evaluated."""
