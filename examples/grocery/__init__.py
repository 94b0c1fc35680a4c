"""Grocery: The Complete Journey, a year of 2,469 households."""
