"""Delta tables whose files are found wherever their folder lies.

Delta names its files by percent-encoded paths, and Polars takes such a path literally: a space or an umlaut in the name
of any folder above would be enough not to find them.
"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from deltalake import DeltaTable

_LOCAL = "file://"


class LogTable(DeltaTable):
    """A Delta table that names its files as the file system does."""

    @property
    def root(self) -> Path | None:
        """Its folder; None on object storage."""
        return Path(unquote(self.table_uri.removeprefix(_LOCAL))) if self.table_uri.startswith(_LOCAL) else None

    def file_uris(self, *arguments: Any, **options: Any) -> list[str]:
        """Data files of this version: paths on this machine, addresses on object storage."""
        found = super().file_uris(*arguments, **options)
        return found if self.root is None else [unquote(one.removeprefix(_LOCAL)) for one in found]
