"""Log and catalogue in, a stored report out."""
