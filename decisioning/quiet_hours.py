"""When a channel rests: local hours, weekdays and public holidays, in the customer's own time zone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietRule:
    """A time of rest; all that is named must fit for it to apply.

    Attributes:
        channels: Channels it is for; empty means all.
        countries: ISO 3166 codes it is for; empty means all. An unknown country may be any of them.
        from_minute: Minute of the local day when rest begins, in [0, 1440).
        until_minute: Minute when it ends; not after `from_minute` means on the next day; equal means the whole day.
        weekdays: Days on which rest begins, Monday is 0; empty means every day.
        only_holidays: Rest begins on public holidays only.
    """

    channels: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    from_minute: int = 0
    until_minute: int = 0
    weekdays: frozenset[int] = frozenset()
    only_holidays: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """All times of rest.

    Attributes:
        holidays: Public holidays by country.
        unknown_zones: Zones that a customer may live in of whom nothing is known: all must be awake.
    """

    rules: tuple[QuietRule, ...] = ()
    holidays: Mapping[str, frozenset[date]] = field(default_factory=dict[str, frozenset[date]])
    unknown_zones: tuple[str, ...] = ("UTC",)
