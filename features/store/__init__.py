"""The feature history and Feast: build, register, join as of a moment, materialise into Redis."""
