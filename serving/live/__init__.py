"""Live state in Redis: what is read, what is written, and the scripts that do it."""
