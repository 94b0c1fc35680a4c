"""Results for people on a terminal, one module per noun."""
