"""From an ask to an answer."""
