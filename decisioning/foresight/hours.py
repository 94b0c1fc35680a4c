"""What the hour of the customer's local week adds to what a message does, as a model learned it from the log.

Learned by `training.foresight.hour_effects` by channel and kind of offer. A message of a kind that was never seen on
its channel has what is known of the channel; on a channel that was never seen, hours add nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from decisioning.value_class import value_class

HOURS = 168
"""Hours of a week; hour 0 begins on Monday at midnight, local time."""

type HourGroup = tuple[str, str]
"""Channel and kind of offer; the kind is empty for what is known of the channel as a whole."""


@value_class
class HourEffects:
    """What hours add.

    Attributes:
        by_group: By group and hour of the week, in the unit of what the model learned, per message sent. As learned
            every hour is there; a record holds those that were looked up.
    """

    by_group: Mapping[HourGroup, Mapping[int, float]]

    def group_of(self, channel_id: str, kind: str) -> HourGroup | None:
        """The group that knows most of a message; None where nothing is known.

        Example:
            >>> found = HourEffects(by_group={("push", ""): {9: 0.5}})
            >>> found.group_of("push", "voucher"), found.group_of("letter", "voucher")
            (('push', ''), None)
        """
        return next((one for one in ((channel_id, kind), (channel_id, "")) if one in self.by_group), None)


def hour_of_week(at: datetime, zone: ZoneInfo) -> int:
    """The hour of the local week, in [0, 168).

    Example:
        >>> from datetime import UTC
        >>> hour_of_week(datetime(2026, 11, 3, 8, 30, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
        33
    """
    local = at.astimezone(zone)
    return local.weekday() * 24 + local.hour
