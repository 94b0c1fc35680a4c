"""What lies ahead of a decision, as models learned it from the log."""
