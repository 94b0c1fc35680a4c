"""Whether any group of customers fares worse, and what it takes to mend it."""
