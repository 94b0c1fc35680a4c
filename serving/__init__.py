"""What we say: the HTTP API, the marketers' console, live state in Redis, the decision log."""
