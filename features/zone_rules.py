"""Which time zone rules count: the newer of the `tzdata` package and the system's files, in every process alike.

Python asks the system's files first, however old they are, and quiet hours would follow rules that governments have
changed since. So each process calls `use_newest_rules` when it starts. Frame libraries carry copies of the rules that
nobody can replace: they keep and compare moments in UTC here, and never work out a local time.
"""

import re
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from decisioning.local_time import find_zone

PACKAGE = "tzdata package"

_VERSION_FILES = ("tzdata.zi", "+VERSION")
"""Where a folder of zone files says of which release it is: the compiled source, and macOS' own file."""

_VERSION = re.compile(r"\b((?:19|20)\d\d)([a-z]+)\b")
_GRACE = timedelta(days=180)
_LOG = structlog.get_logger("nextbest.zones")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRules:
    """A release of the time zone database.

    Attributes:
        version: Its name, such as `2026f`.
        source: `PACKAGE`, or the folder that holds it.
    """

    version: str
    source: str

    def problem(self, now: datetime) -> str | None:
        """What is wrong with them at a moment (aware); None while they are fresh.

        A release comes out early in nearly every year, so rules of last year are old by July.

        Example:
            >>> from datetime import UTC
            >>> rules = ZoneRules(version="2025b", source=PACKAGE)
            >>> rules.problem(datetime(2026, 3, 1, tzinfo=UTC))
            >>> rules.problem(datetime(2026, 11, 1, tzinfo=UTC))
            'time zone rules must be of 2026, got 2025b from the tzdata package; update it (pip install -U tzdata)'
        """
        least = (now - _GRACE).year
        if int(self.version[:4]) >= least:
            return None
        return (
            f"time zone rules must be of {least}, got {self.version} from the {self.source};"
            " update it (pip install -U tzdata)"
        )


def use_newest_rules(folders: Sequence[str] | None = None) -> ZoneRules:
    """Let the newer of package and system files count in this process, and say which that is.

    Folders of an unknown release are passed over.

    Zones that were looked up before keep their rules, so it comes first wherever a process starts. To call it again
    changes nothing.
    """
    package = _of_package()
    newer = [
        rules
        for folder in (zoneinfo.TZPATH if folders is None else folders)
        if (rules := _of_folder(folder)) is not None and _age(rules) > _age(package)
    ]
    newer.sort(key=_age, reverse=True)
    wanted = tuple(rules.source for rules in newer)
    if wanted != zoneinfo.TZPATH:
        zoneinfo.reset_tzpath(wanted)
        zoneinfo.ZoneInfo.clear_cache()
        find_zone.cache_clear()
    return newer[0] if newer else package


def rules_in_force() -> ZoneRules:
    """The rules that this process follows.

    Example:
        >>> use_newest_rules() == rules_in_force()
        True
    """
    return next((rules for folder in zoneinfo.TZPATH if (rules := _of_folder(folder)) is not None), _of_package())


def warn_of_old_rules(rules: ZoneRules, now: datetime) -> None:
    """Write a warning into the process' own log where rules are old at a moment (aware)."""
    if (problem := rules.problem(now)) is not None:
        _LOG.warning("zone_rules_old", problem=problem)


def _of_package() -> ZoneRules:
    import tzdata

    return ZoneRules(version=tzdata.IANA_VERSION, source=PACKAGE)


def _of_folder(folder: str) -> ZoneRules | None:
    """The release in a folder; None where it does not say."""
    for name in _VERSION_FILES:
        try:
            with (Path(folder) / name).open(encoding="utf-8", errors="replace") as file:
                found = _VERSION.search(file.readline(200))
        except OSError:
            continue
        if found is not None:
            return ZoneRules(version=found[0], source=folder)
    return None


def _age(rules: ZoneRules) -> tuple[str, int, str]:
    """Sorts releases by their coming out: 2025b, 2026a, 2026z, 2026aa."""
    year, letters = rules.version[:4], rules.version[4:]
    return year, len(letters), letters
