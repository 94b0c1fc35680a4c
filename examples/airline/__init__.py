"""An airline: one conversation from the first look at an advertisement to the trip after the next."""
