"""Live state out of the log, for a Redis that lost it."""
