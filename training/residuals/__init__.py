"""Residuals: what outcomes since training say of messages, on top of what a model predicts."""

NOTE = "residuals"
"""Name of the note in a model's bundle that says what residuals on top of it start from."""
