"""What another policy would have been worth on a log."""
