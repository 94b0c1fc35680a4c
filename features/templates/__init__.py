"""Liquid templates, rendered within bounds."""
