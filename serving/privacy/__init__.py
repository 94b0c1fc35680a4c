"""Data subject requests over everything a running installation holds: show, correct, erase."""
