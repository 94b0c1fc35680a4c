"""Progress callbacks of long work."""

from collections.abc import Callable

type OnProgress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

type OnStageProgress = Callable[[str, int, int], None]
"""Told which part of the work is under way, how much of it is done, and of how much."""

type OnStep = Callable[[str], None]
"""Told which step begins."""
