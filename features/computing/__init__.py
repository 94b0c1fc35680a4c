"""Feature definitions, and their values as of a moment."""
