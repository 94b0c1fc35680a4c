"""Tables and consoles that reports share."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_WIDTH = 120
"""Width where the output is not a terminal."""


def titled(title: str, *columns: str) -> Table:
    """A table under a bold title."""
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)


def wide_console() -> Console:
    """Stdout, wide where it is no terminal."""
    console = Console(highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(highlight=False, soft_wrap=True, width=_WIDTH)
