"""Learning the value of messages."""
