"""From checked forms to the classes of the core."""
