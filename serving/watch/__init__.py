"""What a server monitors in the background."""
