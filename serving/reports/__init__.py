"""Intake of reported outcomes and events."""
