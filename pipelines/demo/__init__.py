"""The demo: the whole engine on real data, by the same functions that the commands call."""
