"""The catalogue in force, read again when its files change; a broken new one never replaces a good old one."""

from dataclasses import dataclass, field
from pathlib import Path

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.catalogue import load_catalogue

type Stamp = frozenset[tuple[str, int, int]]


@dataclass(slots=True, kw_only=True)
class CatalogueSource:
    """Keeps the newest catalogue that is free of problems.

    Attributes:
        folder: Where its files are.
        catalogue: The one in use; None before the first good one.
        problem: Why the files as they are now are not in use; None where they are.
    """

    folder: Path
    catalogue: Catalogue | None = None
    problem: str | None = "no catalogue was looked for yet"
    _stamp: Stamp | None = field(default=None, init=False)

    def refresh(self) -> bool:
        """Look at the files; True where another catalogue is in use now."""
        try:
            stamp = _stamp(self.folder)
            if stamp == self._stamp:
                return False
            catalogue = load_catalogue(self.folder)
        except (InvalidInputError, OSError) as error:
            self.problem = str(error)
            return False
        self._stamp, self.problem = stamp, None
        is_new = self.catalogue is None or self.catalogue.version != catalogue.version
        self.catalogue = catalogue
        return is_new


def _stamp(folder: Path) -> Stamp:
    """What changes whenever a file does."""
    return frozenset(
        (str(path.relative_to(folder)), found.st_mtime_ns, found.st_size)
        for path in folder.rglob("*")
        if path.is_file()
        for found in (path.stat(),)
    )
