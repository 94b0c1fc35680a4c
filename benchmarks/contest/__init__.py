"""Policies compared on whole worlds: the ground they share, what they learn, and how they did."""
