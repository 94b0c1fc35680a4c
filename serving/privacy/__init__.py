"""The rights of a person, over everything that a running installation holds: shown, corrected, erased."""
