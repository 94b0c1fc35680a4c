"""Residuals: what outcomes since training say of messages, on top of what a model predicts."""
