"""Models as files: the bundle, the registry, and whether a model fits a catalogue."""
