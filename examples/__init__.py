"""Worlds a newcomer can run: a catalogue and a data adapter each."""
