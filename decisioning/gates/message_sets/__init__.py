"""Sets of the messages of a touchpoint, and what gates say against them."""
