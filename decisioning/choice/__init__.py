"""The choice among permitted messages: value, probabilities, and the draw."""
