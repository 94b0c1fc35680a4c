"""Who is in which test since when, and what another catalogue would change about it."""
